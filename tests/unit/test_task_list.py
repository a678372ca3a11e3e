import jsonschema
import pytest

from agentctl.core.tasks.task import Task
from agentctl.core.tasks.task_list import TASKS_SCHEMA, parse
from agentctl.core.text.yaml_document import Problems


def problems(text, known=()):
    with pytest.raises(Problems) as caught:
        parse(text, "t.yaml", known)
    return str(caught.value).splitlines()


def test_a_whole_task():
    text = (
        "- {id: a, prompt: first}\n"
        "- id: b\n  title: Do it\n  prompt: |\n    Do\n    it\n  acceptance: it is done\n"
        "  after: [a, old, a]\n  priority: -3\n  paths: [src/**]\n"
    )
    first, second = parse(text, "t.yaml", known={"old"})
    assert first == Task(id="a", title="first", prompt="first")
    assert second == Task("b", "Do it", "Do\nit\n", "it is done", ("a", "old"), -3, ("src/**",))


def test_an_id_and_a_title_are_made_from_the_prompt():
    [task] = parse("- prompt: |\n\n    Fix the  Parser!\n    and more\n", "t")
    assert (task.id, task.title) == ("fix-the-parser", "Fix the Parser!")
    [task] = parse("- {title: Änd so, prompt: x}", "t")
    assert task.id == "and-so"
    [one, other] = parse("- prompt: 你好\n- prompt: 修复崩溃", "t")
    assert one.id.startswith("task-") and one.id != other.id


def test_a_text_is_a_task():
    one, two, three = parse(
        "- Fix the parser\n- |\n  Make the lexer faster\n  by the benchmark\n- {prompt: x, after: [fix-the-parser]}\n", "t"
    )
    assert one == Task("fix-the-parser", "Fix the parser", "Fix the parser")
    assert (two.id, two.prompt) == ("make-the-lexer-faster", "Make the lexer faster\nby the benchmark\n")
    assert three.after == ("fix-the-parser",)
    assert problems("- id\n- prompt\n- id\n")[0].startswith("t.yaml:3:3: duplicate id 'id' (made from the title")


@pytest.mark.parametrize("entry", ["' '", "5", "[a]", "true"])
def test_what_is_no_task_is_refused(entry):
    assert "[0]: expected a task: its text, or a mapping with a prompt" in problems(f"- {entry}")[0]


def test_a_long_first_line_makes_a_short_title():
    [task] = parse(f"- prompt: {'word ' * 100}", "t")
    assert len(task.title) == 100
    assert len(task.id) <= 60


def test_an_empty_list_has_no_tasks():
    assert parse("[]", "t") == ()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "1:1: expected a list, but found nothing"),
        ("- {id: a}", "1:3: [0]: missing key 'prompt'"),
        ("- {prompt: ' '}", "1:12: [0].prompt: expected text that is not empty, not ' '"),
        ("- {prompt: x, promt: y}", "1:15: [0]: unknown key 'promt'; did you mean 'prompt'?"),
        ("- {id: a/b, prompt: x}", "1:8: [0].id: expected a name of letters, digits, '.', '_' and '-' (at most 100), not 'a/b'"),
        (
            "- {id: a.lock, prompt: x}",
            "1:8: [0].id: expected a name of letters, digits, '.', '_' and '-' (at most 100), not 'a.lock'",
        ),
        ("- {id: a, prompt: x}\n- {id: a, prompt: y}", "2:8: duplicate id 'a', first on line 1"),
        ("- prompt: x\n- prompt: X", "2:3: duplicate id 'x' (made from the title: give this task another), first on line 1"),
        ("- {id: tests, prompt: x}\n- {prompt: y, after: [test]}", "2:23: after: no task 'test'; did you mean 'tests'?"),
        ("- {id: a, prompt: x, after: [a]}", "1:30: after: these wait for each other: a -> a"),
        (
            "- {id: a, prompt: x, after: [b]}\n- {id: b, prompt: x, after: [a]}",
            "2:30: after: these wait for each other: a -> b -> a",
        ),
    ],
)
def test_problems(text, want):
    assert problems(text) == ["t.yaml:" + want]


def test_every_cycle_is_reported_with_other_problems():
    text = (
        "- {id: a, prompt: x, after: [b]}\n- {id: b, prompt: x, after: [a]}\n"
        "- {id: c, prompt: x, after: [d, gone]}\n- {id: d, prompt: x, after: [c, a]}\n"
    )
    assert [line.split(": ", 1)[0] for line in problems(text)] == ["t.yaml:2:30", "t.yaml:3:33", "t.yaml:4:30"]


def test_dependencies_that_meet_again_are_no_cycle():
    text = (
        "- {id: a, prompt: x, after: [b, c]}\n- {id: b, prompt: x, after: [d]}\n"
        "- {id: c, prompt: x, after: [d]}\n- {id: d, prompt: x}\n"
    )
    assert [task.id for task in parse(text, "t")] == ["a", "b", "c", "d"]


def test_a_chain_longer_than_python_recurses():
    chain = [f"- {{id: t{i}, prompt: x, after: [t{i + 1}]}}" for i in range(3000)]
    assert len(parse("\n".join([*chain, "- {id: t3000, prompt: x}"]), "t")) == 3001
    [line] = problems("\n".join([*chain, "- {id: t3000, prompt: x, after: [t0]}"]))
    assert line == "t.yaml:3001:34: after: these wait for each other: t0 -> t1 -> t2 -> ... -> t2999 -> t3000 -> t0"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(TASKS_SCHEMA)


def test_a_line_that_fits_is_the_title_as_it_stands():
    titles = [parse(f"- prompt: {'x' * length}", "t")[0].title for length in (100, 101)]
    assert titles == ["x" * 100, "x" * 97 + "..."]


def test_a_ring_is_named_whole_while_it_is_short():
    def ring(length):
        return "\n".join(f"- {{id: t{n}, prompt: x, after: [t{(n + 1) % length}]}}" for n in range(length))

    [six], [seven] = problems(ring(6)), problems(ring(7))
    assert six.endswith("wait for each other: t0 -> t1 -> t2 -> t3 -> t4 -> t5 -> t0")
    assert seven.endswith("wait for each other: t0 -> t1 -> t2 -> ... -> t5 -> t6 -> t0")
