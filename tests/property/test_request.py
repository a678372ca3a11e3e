"""Whatever an inbox ref is called and whatever its tag says, it is a request with the right types, or
it is said why it is none."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.bot import admit
from agentctl.core import refnames
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue import request
from agentctl.core.queue.records import Queued, Work
from agentctl.core.queue.request import AFTER, GENERATION, PRIORITY, REFUSAL, Bump, Review, Submit, Unfit, Withdraw
from agentctl.core.queue.spending import Spent
from agentctl.core.refnames import valid_name
from agentctl.core.text.json_form import dump

SETTINGS = settings(max_examples=300, deadline=None, database=None)
OID = "1" * 40
INBOX = refnames.inbox("ann", "one", 1)
FACTS = ("task", "generation", "priority", "after", "withdraw", "bump", "approve", "refuse", "spent")

odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.just(-1001)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["..", "a/b", "", "\u2028", "\x00", "\ud800", "one", "ümlaut", "x" * 101])
)
values = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(st.sampled_from(FACTS) | st.text(max_size=6), values, max_size=5)
subjects = objects.map(json.dumps) | values.map(json.dumps) | st.text(max_size=20) | st.just("[" * 100_000) | st.just("{" * 9)


def parsed(subject, kind="tag", target="commit", ref=INBOX):
    return request.parse(ref, OID, kind, OID, target, subject)


@SETTINGS
@given(subjects)
def test_any_subject(subject):
    asked = parsed(subject)
    assert asked.key == "one/1"
    match asked:
        case Submit():
            assert type(asked.priority) is int and -PRIORITY <= asked.priority <= PRIORITY
            assert asked.task is None or valid_name(asked.task)
            assert asked.generation is None or (type(asked.generation) is int and 0 <= asked.generation <= GENERATION)
            assert len(asked.after) <= AFTER and all(valid_name(name) for name in asked.after)
            change = admit._change(asked, 5.0)
            assert codec.decode_queued(dump(Queued(change, Work(OID)))).change == change
        case Bump():
            assert type(asked.priority) is int and -PRIORITY <= asked.priority <= PRIORITY
        case Withdraw():
            pass
        case Review(refusal=refusal):
            assert len(refusal) <= REFUSAL and refusal == refusal.strip()
        case Unfit():
            assert asked.why.isprintable() and asked.whole
        case _:
            raise AssertionError(asked)


@SETTINGS
@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(["ann", "one", "1", "0", "01", "-1", "..", "a.lock", "", "x" * 101, "1" * 30, "²"]), max_size=5
    ).map("/".join)
)
def test_any_name(name):
    asked = parsed("", ref=refnames.INBOX + name)
    if asked is None:
        assert not refnames.is_submission(refnames.INBOX + name)
    else:
        assert valid_name(asked.agent) and valid_name(asked.change) and 0 < asked.revision < refnames.REVISION
        assert refnames.inbox(asked.agent, asked.change, asked.revision) == asked.ref


@SETTINGS
@given(st.sampled_from(["commit", "tag", "tree", "blob", ""]), st.sampled_from(["commit", "tag", "tree", "blob", ""]))
def test_only_a_commit_or_a_tag_of_one(kind, target):
    asked = parsed("{}", kind, target)
    if kind == "commit" or (kind, target) == ("tag", "commit"):
        assert isinstance(asked, Submit)
    else:
        assert isinstance(asked, Unfit) and not asked.whole


def test_what_a_person_says_of_a_tag_is_no_fact():
    assert parsed("release 1.4") == Submit(INBOX, OID, "ann", "one", 1, OID)


def test_each_fact():
    full = parsed(json.dumps({"task": "t", "generation": 3, "priority": -1000, "after": ["a", "b", "a"], "new": {}}))
    assert full == Submit(INBOX, OID, "ann", "one", 1, OID, "t", 3, -1000, ("a", "b"))
    assert parsed('{"spent": {"turns": 3, "money": 0.5}}').spent == Spent(turns=3, money=0.5)
    assert isinstance(parsed('{"withdraw": true}'), Withdraw)
    assert parsed('{"bump": true, "priority": 1000}').priority == 1000
    wrong = {
        '{"priority": true}': "priority: expected int, got bool",
        '{"priority": 1001}': "priority: expected int <= 1000",
        '{"priority": "1"}': "got str",
        '{"after": "a"}': "expected array | null, got str",
        '{"after": ["a/b"]}': "is not a valid name",
        json.dumps({"after": ["a"] * 101}): "length <= 100",
        '{"withdraw": 1}': "expected bool",
        '{"bump": true}': "without a priority",
        '{"bump": true, "withdraw": true, "priority": 1}': "in one",
        '{"generation": -1}': "generation: expected int >= 0",
        '{"spent": {"tokens": -1}}': "spent has a number that is not between 0 and",
        '{"spent": {"money": 1e300}}': "spent has a number that is not between 0 and",
        '{"spent": {"tokens": true}}': "expected int, got bool",
        '{"task": "\\ud800"}': "half of a surrogate pair",
        '{"priority": 1': "truncated",
    }
    for subject, why in wrong.items():
        assert why in parsed(subject).why, subject


@SETTINGS
@given(st.lists(st.text(min_size=1, max_size=90), min_size=2, max_size=12, unique=True))
def test_names_made_from_any_texts_are_names_and_do_not_meet(texts):
    names = [refnames.distinct(text) for text in texts]
    assert all(map(valid_name, names)) and len(set(names)) == len(texts)
    assert [refnames.distinct(name) for name in names] == names


def test_names_of_branches():
    long = "a" * 58
    branches = [f"feature/{long}-1", f"feature/{long}-2", "größe", "grüße", "x/y", "x-y", "Fix", "fix", "agent/x-y", "a" * 120]
    names = [refnames.of_branch(name) for name in branches]
    assert len(set(names)) == len(branches) and all(map(valid_name, names))
    assert refnames.of_branch("fix-1.2") == "fix-1.2" and refnames.of_branch("x/y").startswith("x-y-")


def test_names_of_persons():
    assert refnames.of_person("Tess Tester") == "tess-tester" == refnames.of_person("tess. tester")
    people = ["Jürgen", "Jorgen", "Дмитрий", "Наташа", "x" * 50, "x" * 60]
    assert len({refnames.of_person(name) for name in people}) == len(people)
    assert all(valid_name(refnames.of_person(name)) for name in people)
