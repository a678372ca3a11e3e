import pytest
import yaml

from agentctl.core.text.yaml_document import LIMIT, REPORTED, Problem, Problems, load, read

SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "flag": {"type": "boolean"},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "name": {"type": "string"},
        "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "env": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z]+$", "x-expected": "a name in capitals"},
            "additionalProperties": {"type": "string"},
        },
    },
    "additionalProperties": False,
}
ANYTHING: dict = {}


@pytest.fixture(params=["C loader", "Python loader"], autouse=True)
def loader(request, monkeypatch):
    if request.param == "Python loader":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


def problems(text, schema=SCHEMA):
    with pytest.raises(Problems) as caught:
        load(text, "f.yaml", schema)
    return str(caught.value).splitlines()


def only(text, schema=SCHEMA):
    [line] = problems(text, schema)
    return line


def test_plain_data_comes_back():
    text = "size: 3\nflag: true\nname: 'x'\nitems:\n- a\n- b\nenv: {A: b}\n"
    want = {"size": 3, "flag": True, "name": "x", "items": ["a", "b"], "env": {"A": "b"}}
    assert load(text, "f", SCHEMA) == want


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("tRue", "tRue"),
        ("True", True),
        ("FALSE", False),
        ("Null", None),
        ("~", None),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ("'null'", "null"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("<<", "<<"),
    ],
)
def test_words_follow_yaml_1_2(text, value):
    loaded = load(f"- {text}", "f", ANYTHING)
    assert loaded == [value]
    assert type(loaded[0]) is type(value)


def test_an_empty_document_is_nothing():
    assert load("", "f", ANYTHING) is None
    assert load("# only a comment\n", "f", ANYTHING) is None


def test_a_byte_order_mark_is_passed_over():
    assert load("\ufeffsize: 1", "f", SCHEMA) == {"size": 1}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("size: 1\nsize: 2", "f.yaml:2:1: duplicate key 'size', first on line 1"),
        ("name: &a x", "f.yaml:1:7: anchor '&a' is not allowed"),
        ("name: !!str x", "f.yaml:1:7: tag 'tag:yaml.org,2002:str' is not allowed"),
        ("name: ! x", "f.yaml:1:7: tag '!' is not allowed"),
        ("<<: {}", "f.yaml:1:1: the merge key << is not allowed: write the keys out"),
        ("1: x", "f.yaml:1:1: a key must be text: put 1 in quotes"),
        ("true: x", "f.yaml:1:1: a key must be text: put true in quotes"),
        ("[a]: x", "f.yaml:1:1: a key must be text, not a list or a mapping"),
        ("size: 1\n---\nsize: 2", "f.yaml:2:1: a second document begins here: keep one"),
        ("name: a: b", "f.yaml:1:8: not YAML: a second ': ' in one value (put the value in quotes)"),
        ("name: @x", "f.yaml:1:7: not YAML: a value that begins with @ needs quotes"),
        ("size: .inf", "f.yaml:1:7: .inf is not a number that can be used here"),
        ("size: -.INF", "f.yaml:1:7: -.INF is not a number that can be used here"),
        ("size: 1e999", "f.yaml:1:7: the number is too large"),
        ("size: " + "9" * 5000, "f.yaml:1:7: the number is too large"),
        ("name: x\n\x00", "f.yaml:2:1: character U+0000 is not allowed"),
        ("name: '\udcff'", "f.yaml:1:8: character U+DCFF is not allowed"),
        ('name: "\\0"', "f.yaml:1:7: text must not hold a zero byte or half a surrogate pair"),
        ("items: " + "[" * 40, "f.yaml:1:39: nested more than 32 deep"),
        ("#" * (LIMIT + 1), "f.yaml:1:1: longer than 1048576 bytes"),
        ("#" + "é" * (LIMIT // 2), "f.yaml:1:1: longer than 1048576 bytes"),
    ],
)
def test_what_is_refused_whatever_the_schema(text, want):
    assert only(text) == want


def test_every_anchor_and_alias_is_named():
    assert problems("name: &a x\nsize: *a") == [
        "f.yaml:1:7: anchor '&a' is not allowed",
        "f.yaml:2:7: alias '*a' is not allowed: write the value again",
    ]


def test_a_bomb_of_aliases_is_refused_before_it_grows():
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert problems("\n".join(lines), ANYTHING)[0] == "f.yaml:1:5: anchor '&a0' is not allowed"


def test_deep_nesting_does_not_exhaust_the_stack():
    for opening in ("[", "{a: ", "- ", "? "):
        assert problems(opening * 100_000, ANYTHING)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[a]", "1:1: expected a mapping of keys to values, not a list"),
        ("", "1:1: expected a mapping of keys to values, but found nothing"),
        ("siez: 1", "1:1: unknown key 'siez'; did you mean 'size'?"),
        ("zzz: 1", "1:1: unknown key 'zzz'"),
        ("size: 0", "1:7: size: expected a whole number of at least 1, not 0"),
        ("size: 1.0", "1:7: size: expected a whole number of at least 1, not 1.0"),
        ("size: true", "1:7: size: expected a whole number of at least 1, not true"),
        ("flag: yes", "1:7: flag: expected true or false, not 'yes'"),
        ("mode: fats", "1:7: mode: expected one of fast, slow, not 'fats'; did you mean 'fast'?"),
        ("name: 8", "1:7: name: expected text, not 8 (put it in quotes)"),
        ("items: []", "1:8: items: expected a list of 1 or more, not an empty list"),
        ("items: [a, [b]]", "1:12: items[1]: expected text, not a list"),
        ("env: {a: b}", "1:7: env: 'a' is not a name in capitals"),
        ("env:\n  A: 1", "2:6: env.A: expected text, not 1 (put it in quotes)"),
    ],
)
def test_breaches_of_the_schema_in_plain_words(text, want):
    assert only(text) == "f.yaml:" + want


def test_all_problems_at_once_in_order_of_place():
    text = "name: 1\nsize: 0\nsize: 2\nflag: maybe\nenv: {x: y}\n"
    places = [line.split(" ")[0] for line in problems(text)]
    assert places == ["f.yaml:1:7:", "f.yaml:2:7:", "f.yaml:3:1:", "f.yaml:4:7:", "f.yaml:5:7:"]


def test_a_missing_key_is_reported_where_its_mapping_begins():
    schema = {"type": "object", "required": ["a", "b"]}
    assert problems("\nc: 1", schema) == ["f.yaml:2:1: missing key 'a'", "f.yaml:2:1: missing key 'b'"]


def test_the_list_of_problems_is_bounded():
    text = "items:\n" + "- 1\n" * 5000
    lines = problems(text)
    assert len(lines) == REPORTED + 1
    assert lines[-1].endswith("more problems follow")


def test_problems_carry_their_parts_and_the_exit_code():
    with pytest.raises(Problems) as caught:
        load("size: 0", "f.yaml", SCHEMA)
    message = "size: expected a whole number of at least 1, not 0"
    assert caught.value.problems == [Problem("f.yaml", 1, 7, message)]
    assert caught.value.exit == 3


def test_a_message_cannot_drive_a_terminal():
    [line] = problems('"\\e[2J\\u202e": 1')
    assert line.isprintable()


def test_a_document_knows_the_place_of_each_part():
    document = read("env:\n  A: b\nitems: [x, y]", "f", SCHEMA)
    assert str(document.problem("m", ("items", 1))) == "f:3:12: m"
    assert str(document.problem("m", ("env", "A"), at_key=True)) == "f:2:3: m"
    assert str(document.problem("m", ("env", "gone"))) == "f:2:3: m"


def test_a_number_has_eighteen_digits_at_most():
    assert load("size: " + "9" * 18, "f", SCHEMA) == {"size": 10**18 - 1}
    assert "the number is too large" in only("size: 1" + "0" * 18)
