"""Whoever can write refs can write anything into them: what reads them says so, by the ref's name,
or takes no notice, where the protocol says that. Never does a bare error come out."""

import contextlib
import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.core import refnames
from agentctl.core.planner.memory import Memory, dump
from agentctl.core.queue import events
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.model import Change, Probe, Verdict
from agentctl.core.queue.records import Approval, GateFailed, Landed, Passed, Proof, Queued, Rejected, Work
from agentctl.core.queue.state import Draft, State
from agentctl.core.tasks import claim as claims
from agentctl.core.tasks import prompt
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.task import End, Session, Task, encode, status
from agentctl.core.text import json_form
from agentctl.core.text.json_form import replace
from agentctl.engine import owner
from agentctl.errors import AgentctlError, Malformed
from agentctl.git import refs
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import Ref
from agentctl.hub import outbox, pause, tasks, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.hub.verdicts import Judgement
from agentctl.hub.verification import prove

SETTINGS = settings(
    max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OID = "1" * 40
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["..", "a/b", "", "\u2028", "\x00", "one"])
)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6
)
DEEP = "[" * 100_000


def places(value, at=()):
    """The paths of a JSON value's parts."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*at, key))


@st.composite
def spoilt(draw, valid):
    """Text: nothing like it, or a valid one with a part replaced, removed or added."""
    whole = json.loads(valid)
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.text(max_size=20))
        case 1:
            return DEEP
        case 2:
            return json.dumps(draw(values))
    whole = copy.deepcopy(whole)
    *path, last = draw(st.sampled_from([at for at in places(whole) if at]))
    inner = whole
    for key in path:
        inner = inner[key]
    if draw(st.booleans()) and isinstance(inner, dict):
        del inner[last]
    else:
        inner[last] = draw(values)
    return json.dumps(whole)


def data(text):
    return text.encode(errors="surrogatepass")


def put(repo, ref, oid):
    path = os.path.join(repo.hub.git_dir, ref)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(oid + "\n")


def holding(repo, files):
    """A commit whose tree has these files."""
    return repo.hub.objects.write_commit(repo.hub.objects.replace(EMPTY_TREE, files), (), "made\n", 0)


@contextlib.contextmanager
def named(ref):
    """What is malformed within is told by the name of the ref."""
    try:
        yield
    except Malformed as error:
        assert ref in error.message and ref in error.hint and error.message.isprintable()
    except AgentctlError as error:
        assert error.message


CHANGE = Change("one", 1, OID, "ann", 1, 1.0, "one", 0, ("two",))
WORK = Work(OID, "one", ("a",))
APPROVALS = (Approval("tess", 3.0, person=True), Approval("bob", 4.0, role="reviewer"))
QUEUED = Queued(CHANGE, WORK, APPROVALS)
REJECTED = Rejected(change=CHANGE, at=2.0, work=WORK, said="why", reason=GateFailed(1, ("one/1",), "g", OID, OID))
PROBE = Probe(1, OID, ("one/1",), 1, "first")
STAGED = Staged(PROBE, OID, OID, (("one/1", OID),), "g", 1.0)
STATE = State(OID, 1, 2, Landing(OID, STAGED, Passed(OID, "g", 1.0, OID)), dump(Memory()), *3 * [(STAGED,)], {"one/1": QUEUED})
TASK = Task(
    "one",
    "do it",
    "do it well",
    "done",
    ("two",),
    1,
    ("a",),
    1.0,
    (Session(1, "ann", End.CRASHED, 2.0, 1.0, OID, 1, "note", "refs/x"),),
    "parked",
    "why",
    1,
)
ANSWER = {
    "kind": "gate",
    "change": "one/1",
    "why": "why",
    "with": [{"commit": OID, "change": "two", "subject": "s"}],
    "landed": [{"commit": OID, "change": "two", "subject": "s"}],
}


@SETTINGS
@given(spoilt(json.dumps({"by": "ann", "reason": "release", "at": 1.0})))
def test_any_ref_pauses(subject):
    assert str(pause.parse(Ref(refnames.PAUSE, OID, "commit", OID, subject))).startswith("paused")


@SETTINGS
@given(spoilt(claims.encode(Claim("ann", 2, 1.0, owner.identity()))))
def test_a_claim(text):
    with named("a-ref"), refs.decoding("a-ref"):
        claim = claims.decode(text)
        assert refnames.valid_name(claim.agent) and owner.alive(claim.owner) in (True, False)
        assert isinstance(claim.expires > 1, bool) and f"{claim.generation:d}"


@SETTINGS
@given(text=spoilt(encode(TASK).decode()))
def test_a_task(repo, text):
    with named(refnames.TASKS + "one"):
        task = tasks.read(repo.hub, "one", holding(repo, {"task.json": data(text)}))
        where = status(task, None, None)
        dispatch({"one": task}, {"one": where}, ("ann",), OID, Rules(3), 1.0)
        assert tasks.codec.decode(encode(task)) == task


@SETTINGS
@given(text=spoilt(json_form.dump(Judgement(Verdict.PASSED, OID, OID, "g", 1.0, 1.0)).decode()))
def test_a_verdict(repo, text):
    put(repo, refnames.VERDICTS, holding(repo, {verdicts._path("g", OID, Verdict.PASSED): data(text)}))
    with named(refnames.VERDICTS):
        found = verdicts.lookup(repo.hub, "g", OID, Verdict.PASSED)
        assert found is None or f"{found.seconds:.1f} {found.log.strip()}"


@SETTINGS
@given(text=spoilt(json.dumps(ANSWER)))
def test_an_answer(repo, text):
    ref = refnames.outbox("ann", "one", 1)
    put(repo, ref, holding(repo, {"verdict.json": data(text)}))
    answer = outbox.read(repo.hub, REJECTED)
    assert all(other.commit[:12] + other.subject for other in (*answer.said.conflicting, *answer.said.landed))
    assert json.loads(json.dumps(answer.plain)) and outbox.encode(answer.said)
    assert not answer.unread or (ref in answer.unread and answer.said.why == REJECTED.why)
    assert prompt.render(prompt.Situation(TASK, 3, answer.said))


def ledger_files():
    draft = Draft(STATE)
    draft.happen(events.Admitted(QUEUED))
    files = codec.output(draft, State())
    return {path: content.decode() for path, content in files.items()} | {
        codec.done_path("one/2"): json_form.dump(REJECTED).decode(),
        codec.head_path(OID): "one/1\n",
    }


FILES = ledger_files()


@pytest.mark.parametrize("path", FILES)
@settings(SETTINGS, max_examples=40)
@given(draw=st.data())
def test_the_ledger(repo, path, draw):
    text = draw.draw(spoilt(FILES[path]) if path.endswith((".json", "/1", "/2")) else st.text(max_size=9) | st.just("../x"))
    tip = holding(repo, {**{p: c.encode() for p, c in FILES.items()}, path: data(text)})
    ledger = Ledger(repo.hub, tip)
    for read in (
        ledger.state,
        ledger.ended,
        lambda: list(ledger.history()),
        lambda: ledger.newest("one"),
        lambda: ledger.with_head(OID),
    ):
        with named(refnames.STATE):
            read()


LANDED = Landed(
    change=CHANGE, at=2.0, work=WORK, approvals=APPROVALS, commit=OID, proof=Proof(1, OID, OID, Passed(OID, "g", 1.0, OID))
)
OLD = {
    "change": {"id": "one", "revision": 3, "head": OID, "agent": "ann", "seq": 1, "admitted": 5.0},
    "base": OID,
    "stage": "landed",
    "ended": 1.0,
    "commit": OID,
    "evidence": {"probe": 1, "old": OID, "tip": OID, "tree": OID, "gate": "g", "at": 1.0, "commit": OID},
}
MORE = FILES | {codec.done_path("two/1"): json_form.dump(replace(LANDED, change=replace(CHANGE, id="two"))).decode()}
MORE |= {codec.done_path("one/3"): json.dumps(OLD)}
odd_lines = st.lists(
    st.sampled_from(["admit", "adopt", "probe", "land", "for", OID, "--all", "one/1", "12", "\0", "of"]) | st.text(max_size=4),
    max_size=5,
).map(" ".join)


@pytest.mark.parametrize("path", [path for path in MORE if path.endswith((".json", "/1", "/2", "/3"))])
@settings(SETTINGS, max_examples=12)
@given(draw=st.data())
def test_verify_tells_what_it_cannot_read_and_proves_the_rest(repo, path, draw):
    ids = [OID, repo.tip, EMPTY_TREE, "--all", "a\0b", "-" * 40]
    text = MORE[path] if draw.draw(st.booleans()) else draw.draw(spoilt(MORE[path]))
    for _ in range(text.count(OID)):
        text = text.replace(OID, draw.draw(st.sampled_from(ids)).replace("\0", "\\u0000"), 1)
    put(repo, refnames.STATE, holding(repo, {**{p: c.encode() for p, c in MORE.items()}, path: data(text)}))
    counts, findings = prove(repo.hub, "main")
    named = [f.text for f in findings]
    assert counts.landed + counts.rejected + counts.queued + sum(refnames.STATE in text for text in named) >= 3
    assert path == codec.done_path("two/1") or f"nothing proves that two/1 was tested: object {OID}" in " ".join(named)


@settings(SETTINGS, max_examples=40)
@given(lines=st.lists(odd_lines, max_size=4))
def test_verify_takes_any_message_of_a_commit_without_events(repo, lines):
    files = {path: text.encode() for path, text in FILES.items() if path != codec.EVENTS}
    message = "\n".join([f"{len(lines)} events", "", *lines])
    tree = repo.hub.objects.replace(EMPTY_TREE, files)
    put(repo, refnames.STATE, repo.hub.objects.write_commit(tree, (), message, 0))
    prove(repo.hub, "main")


@pytest.mark.parametrize("kind", ["blob", "tree", "nothing"])
def test_a_ref_that_is_no_commit(repo, kind):
    made = {"blob": repo.hub.objects.write_blob(b"x"), "tree": EMPTY_TREE, "nothing": OID}[kind]
    repo.hub.objects.write_tree({})
    with named(refnames.STATE), pytest.raises(Malformed):
        Ledger(repo.hub, made).state()
    with pytest.raises(Malformed):
        tasks.read(repo.hub, "one", made)


def test_the_valid_ones_are_read(repo):
    assert Ledger(repo.hub, holding(repo, {p: c.encode() for p, c in FILES.items()})).state() == STATE
    assert tasks.codec.decode(encode(TASK)) == TASK


def test_a_subject_with_ends_of_lines_that_git_does_not_know(repo):
    odd = "x\x0b\x0c\x1c\x85\u2028y\ry"
    made = repo.hub.objects.write_tag(repo.change({"a": "a\n"}), "t", odd, 1)
    put(repo, refnames.inbox("ann", "one", 1), made)
    assert repo.hub.refs.read([refnames.INBOX])[refnames.inbox("ann", "one", 1)].kind == "tag"
