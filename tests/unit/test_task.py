from __future__ import annotations

import pytest

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import AgainstRules, AlreadyThere, Landed, Passed, Proof, Queued, Record, Rejected, Work
from agentctl.core.queue.request import GENERATION, PRIORITY
from agentctl.core.queue.spending import Spent
from agentctl.core.refnames import REVISION
from agentctl.core.tasks import claim as claims
from agentctl.core.tasks import task
from agentctl.core.tasks.claim import CLAIM_SLACK, LATER, SKEW, Claim, unfounded
from agentctl.core.tasks.dispatch import FIRST_PAUSE, LONGEST_PAUSE, STUBBORN, Dispatch, Rules, dispatch
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import End, Session, Status, Task, standings, status
from agentctl.core.text.json_form import replace

CLAIM = Claim("ann", 1, 100.0, {"pid": 1})


def session(end: End, revision: int = 0, agent: str = "ann", trunk: str = "t1") -> Session:
    return Session(1, agent, end, 1.0, 1.0, trunk, revision)


def a_task(name: str = "fix", *sessions: Session, **facts) -> Task:
    return Task(name, name, "do " + name, sessions=sessions, **facts)


def record(stage: Stage, revision: int = 1) -> Record:
    change, work, oid = Change("fix", revision, "h", "ann", 1, 1.0), Work("b"), "1" * 40
    if stage == Stage.QUEUED:
        return Queued(change, work)
    if stage == Stage.LANDED:
        return Landed(change=change, at=2.0, work=work, commit=oid, proof=Proof(1, oid, oid, Passed(oid, "g", 1.0, oid)))
    assert stage == Stage.REJECTED
    return Rejected(change=change, at=2.0, work=work, said="no", reason=AgainstRules())


def where(found: Task, claim: Claim | None = None, known: Record | None = None, others: tuple[Task, ...] = ()) -> Status:
    listed = {task.id: task for task in (found, *others)}
    return standings(listed, {found.id: claim} if claim else {}, {found.id: known} if known else {}, ())[found.id]


def test_encoding_keeps_everything():
    found = a_task("fix", session(End.CRASHED), after=("a",), paths=("src/**",), priority=3, acceptance="green")
    assert task.decode(task.encode(found)) == found
    assert claims.decode(claims.encode(CLAIM)) == CLAIM


def test_status_follows_from_facts():
    assert where(a_task()) == Status.READY
    assert where(a_task(), CLAIM) == Status.WORKING
    submitted = a_task("fix", session(End.SUBMITTED, 1))
    assert where(submitted) == Status.SUBMITTED, "the bot has not seen it yet"
    assert where(submitted, known=record(Stage.QUEUED)) == Status.SUBMITTED
    assert where(submitted, known=record(Stage.REJECTED)) == Status.READY
    assert where(submitted, known=record(Stage.LANDED)) == Status.LANDED
    assert where(submitted, CLAIM, record(Stage.LANDED)) == Status.LANDED
    assert where(replace(submitted, closed="parked")) == Status.PARKED
    assert where(replace(submitted, closed="done")) == Status.DONE


def test_a_claim_that_no_session_can_have_made_is_unfounded():
    once, longest, now = a_task("fix", session(End.CRASHED)), 60.0, 1000.0
    last = now + longest + CLAIM_SLACK
    for generation in (1, 2):
        assert unfounded(replace(CLAIM, generation=generation, expires=last), once.generation, longest, now) == ""
    assert unfounded(replace(CLAIM, expires=0.0), once.generation, longest, now) == "", "it has expired, and was one"
    assert "generation 3" in unfounded(replace(CLAIM, generation=3), once.generation, longest, now)
    assert "generation 0" in unfounded(replace(CLAIM, generation=0), once.generation, longest, now)
    ahead, before = replace(CLAIM, expires=last + 4 * 3600), replace(CLAIM, expires=now + 4 * 3600 + CLAIM_SLACK)
    assert unfounded(ahead, once.generation, longest, now) == "", "a clock is ahead"
    assert unfounded(before, once.generation, longest, now) == "", "the time limit was 4 h"
    assert "later" in unfounded(replace(CLAIM, expires=last + LATER + 1), once.generation, longest, now)
    assert "later" in unfounded(replace(CLAIM, expires=float("nan")), once.generation, longest, now)
    assert unfounded(replace(CLAIM, expires=9e15), once.generation, float("inf"), now) == "", "no policy says what is too late"
    assert unfounded(CLAIM, None, longest, now) == "there is no such task"


def test_a_task_waits_for_those_it_comes_after():
    later = a_task("later", after=("first",))
    assert where(later) == Status.BLOCKED
    assert where(later, others=(a_task("first"),)) == Status.BLOCKED
    assert where(later, others=(a_task("first", closed="done"),)) == Status.READY


def plan(
    tasks: list[Task], free: tuple[str, ...] = ("ann", "bob"), trunk: str = "t1", attempts: int = 3, now: float = 1e6, **statuses
):
    known = {t.id: t for t in tasks}
    return dispatch(known, {n: statuses.get(n, Status.READY) for n in known}, free, trunk, Rules(attempts), now)


def test_higher_priority_first_then_older():
    tasks = [a_task("old", created=1.0), a_task("new", created=2.0), a_task("urgent", created=3.0, priority=1)]
    assert plan(tasks).start == (("urgent", "ann"), ("old", "bob"))


def test_an_agent_gets_its_own_task_back():
    tasks = [a_task("x", session(End.SUBMITTED, 1, agent="bob"), created=1.0), a_task("y", created=2.0)]
    assert plan(tasks).start == (("x", "bob"), ("y", "ann"))


def test_a_deferred_task_waits_until_trunk_moves():
    tasks = [a_task("x", session(End.DEFERRED, trunk="t1")), a_task("y")]
    assert plan(tasks, trunk="t1", y=Status.WORKING).start == ()
    assert plan(tasks, trunk="t2", y=Status.WORKING).start == (("x", "ann"),)


def test_a_task_put_off_again_and_again_pauses():
    for times, pause in ((1, FIRST_PAUSE), (2, 2 * FIRST_PAUSE), (4, 8 * FIRST_PAUSE), (40, LONGEST_PAUSE)):
        task = a_task("x", *(session(End.DEFERRED, trunk=f"t{n}") for n in range(times)))

        def start(after, trunk="moved", y=Status.SUBMITTED):
            return plan([task, a_task("y")], trunk=trunk, now=task.sessions[-1].ended + after, y=y).start

        assert start(pause - 0.01) == ()
        assert start(pause) == (("x", "ann"),)
        assert start(1e6, trunk=f"t{times - 1}") == (), "trunk has not moved"
        assert start(0, y=Status.LANDED) == (("x", "ann"),), "nothing else is left to do"


def test_deferred_tasks_are_given_up_when_nothing_moves_trunk():
    once = session(End.DEFERRED, trunk="t1")
    assert plan([a_task("x", once)]).start == (("x", "ann"),)
    assert plan([a_task("x", once, once, once)]).park == (("x", "not yet, it says, and nothing is left that moves trunk"),)
    assert plan([a_task("x", once, once, once)], trunk="t2").start == (("x", "ann"),)


def test_attempts_are_counted_and_exhausted_ones_parked():
    lost = [session(e) for e in (End.DEFERRED, End.INTERRUPTED, End.EMPTY, End.CRASHED)]
    assert a_task("x", *lost).attempts == 2
    assert plan([a_task("x", *lost)], attempts=2).park == (("x", "2 attempts; the last one: crashed"),)
    assert plan([a_task("x", *lost)], attempts=3).park == ()


def failed(kind: Kind, ended: float = 1.0, end: End = End.CRASHED) -> Session:
    return replace(session(end), failure=Failure(kind, "its words"), ended=ended, note="a note")


def test_only_what_a_task_has_to_answer_for_is_an_attempt():
    for kind in Kind:
        assert not failed(kind).charged
    assert [session(e).charged for e in (End.SUBMITTED, End.EMPTY, End.CRASHED, End.TIMEOUT, End.STUCK)] == [True] * 5
    assert not any(session(end).charged for end in (End.DEFERRED, End.INTERRUPTED, End.BEHIND, End.BLOCKED))


@pytest.mark.parametrize("room", [(), ((frozenset({"worker"}), 1),)])
def test_the_review_of_the_only_free_agents_own_change_keeps_no_other_task_waiting(room):
    review, work = a_task("review", avoid=("ann",), priority=9), a_task("work")
    listed, ready = {t.id: t for t in (review, work)}, dict.fromkeys(("review", "work"), Status.READY)

    def started(*free: str, most: int = 1) -> tuple[tuple[str, str], ...]:
        return dispatch(listed, ready, free, "t1", Rules(3, room=room), 10.0, most=most).start

    assert started("ann") == (("work", "ann"),)
    assert started("bob") == (("review", "bob"),)
    if not room:
        assert started("ann", "bob", most=2) == (("review", "bob"), ("work", "ann"))


def test_a_task_whose_agent_is_blocked_is_parked_with_the_agents_words():
    blocked = a_task().add(replace(session(End.BLOCKED), note="no key"))
    assert (where(blocked), blocked.reason, blocked.attempts) == (
        Status.PARKED, "ann cannot go on without a person: no key", 0
    )  # fmt: skip
    again = blocked.open("it is in tests/key")
    assert (where(again), again.reason, again.generation) == (Status.READY, "it is in tests/key", 2)
    assert plan([again]).park == (), "the old word of its agent is forgiven"
    done = replace(a_task(), closed="done", reason="by hand").add(session(End.BLOCKED))
    assert (done.closed, done.reason) == ("done", "by hand")


def test_failures_in_a_row_are_the_last_ones():
    row = a_task("x", failed(Kind.KEY), session(End.EMPTY), failed(Kind.RATE), session(End.INTERRUPTED), failed(Kind.KEY))
    assert [failure.kind for _, failure in row.failures] == [Kind.RATE, Kind.KEY]
    assert row.attempts == 1
    assert a_task("x", failed(Kind.KEY), session(End.SUBMITTED, 1)).failures == ()
    assert row.open().failures == ()


def test_a_task_that_failed_with_the_fleet_is_left_alone_for_a_while():
    for times, pause in ((1, 30.0), (2, 60.0), (3, 120.0), (40, 300.0)):
        tasks = [a_task("x", *(failed(Kind.RATE, 1000.0) for _ in range(times)))]
        assert plan(tasks, now=1000.0 + pause - 0.1).start == ()
        assert plan(tasks, now=1000.0 + pause).start == (("x", "ann"),)
    begun = dispatch({"x": tasks[0]}, {"x": Status.READY}, ("ann",), "t1", Rules(3, 30.0, begun=1001.0), 1002.0)
    assert begun.start == (("x", "ann"),), "a fleet that was started after that tries at once"
    assert plan([a_task("x", failed(Kind.CONTEXT, 1000.0))], now=1000.0).start == (("x", "ann"),)


def test_a_pausing_task_is_no_reason_to_give_up_deferred_ones():
    once = session(End.DEFERRED, trunk="t1")
    tasks = [a_task("x", once, once, once), a_task("y", failed(Kind.RATE, 1000.0))]
    assert plan(tasks, now=1001.0).park == ()


def test_a_task_that_is_cut_off_again_and_again_is_parked():
    cut = [failed(Kind.LIMIT, end=End.TIMEOUT), failed(Kind.CONTEXT)]
    assert plan([a_task("x", *cut)], attempts=3).park == ()
    ((name, reason),) = plan([a_task("x", *cut)], attempts=2).park
    assert reason == "2 failures of its own in a row; the last one: crashed, a note; smaller tasks may help"
    helps = {End.TIMEOUT: "agents.timeout", End.STUCK: "agents.silence", End.CRASHED: "limits.output"}
    for end, larger in helps.items():
        ((_, reason),) = plan([a_task("x", failed(Kind.LIMIT, end=end))], attempts=1).park
        assert reason.endswith(f"; a larger {larger}, or smaller tasks, may help")
    for limit in ("agents.context", "agents.budget.session", "agents.roles.guard.budget"):
        spent = failed(Kind.LIMIT, end=End.SPENT)
        ((_, reason),) = plan([a_task("x", replace(spent, failure=replace(spent.failure, limit=limit)))], attempts=1).park
        assert reason.endswith(f"; a larger {limit}, or smaller tasks, may help")
    for odd in (failed(Kind.LIMIT, end=End.SPENT), failed(Kind.LIMIT, end=End.CIRCLES), failed(Kind.CONVERSATION)):
        assert "may help" not in plan([a_task("x", odd)], attempts=1).park[0][1]
    assert plan([a_task("x", cut[0], session(End.EMPTY), cut[1])], attempts=2).park == (), "not in a row"


def test_a_task_is_not_given_up_for_a_silence_that_others_share():
    mine = [replace(failed(Kind.LIMIT, ended, End.TIMEOUT), seconds=200.0) for ended in (1000.0, 2000.0, 3000.0)]
    theirs = [replace(failed(Kind.LIMIT, ended, End.STUCK), seconds=200.0) for ended in (1010.0, 2010.0, 3010.0)]
    assert plan([a_task("x", *mine), a_task("y", *theirs)], now=4000.0).park == ()
    assert plan([a_task("x", *mine), a_task("y", session(End.SUBMITTED, 1))], now=4000.0).park[0][0] == "x"
    near = [replace(session(End.SUBMITTED, 1), ended=one.ended + by) for one in mine for by in (-0.1, 0.1)]
    assert plan([a_task("x", *mine), a_task("y", *theirs), a_task("z", *near)], z=Status.LANDED).park == (), "z is one witness"
    refused = [replace(failed(Kind.RATE, ended), seconds=2.0) for ended in (1010.0, 2010.0, 3010.0)]
    assert plan([a_task("x", *mine), a_task("y", *refused)], now=4000.0).park == (), "the provider failed others then"
    hung = [replace(s, salvage="refs/x") for s in mine]
    empty = [a_task("y", *theirs), a_task("z", *theirs)]
    for end in (End.STUCK, End.TIMEOUT):
        worked = [replace(s, end=end) for s in hung]
        assert plan([a_task("x", *worked), *empty], now=4000.0).park == (), "it fell silent as the others did"
    hung = [replace(s, end=End.STUCK) for s in hung]
    both = [a_task("x", *hung), a_task("y", *(replace(s, salvage="refs/y") for s in theirs))]
    assert [name for name, _ in plan(both, now=4000.0).park] == ["x", "y"], "perhaps a test of trunk's hangs"
    assert plan([*both, *empty[1:], a_task("v", *theirs)], now=4000.0).park == (), "those two have witnesses"
    # The provider may be back when the timeout comes: then those tell that ended while the session was silent.
    before = [a_task(f"b{n}", *(replace(s, ended=s.ended - 150.0 + n) for s in theirs)) for n in range(3)]
    back = [replace(session(End.SUBMITTED, 1), ended=s.ended + by) for s in mine for by in (-1.0, 1.0)]
    after = [a_task(f"a{n}", *back) for n in range(3)]
    done = {t.id: Status.LANDED for t in after}
    assert plan([a_task("x", *hung), *before, *after], now=4000.0, **done).park == ()
    assert plan([a_task("x", *hung), *after], now=4000.0, **done).park[0][0] == "x"
    circles = [replace(s, end=End.CIRCLES) for s in mine]
    assert plan([a_task("x", *circles), *empty], now=4000.0).park[0][0] == "x", "it was answered each time"
    set_up = [replace(failed(Kind.SETUP, ended), seconds=2.0) for ended in (1010.0, 2010.0, 3010.0)]
    assert plan([a_task("x", *mine), a_task("y", *set_up)], now=4000.0).park[0][0] == "x", "that was no provider"
    # Once somebody is answered, what the others have not got until then is still not theirs to answer for.
    landed = replace(session(End.SUBMITTED, 1), ended=4000.0)
    assert plan([a_task("x", *mine), a_task("y", *theirs, landed)], now=4001.0).park == ()
    # One that has just handed in what it had does not speak for the provider; one that was long ago says nothing.
    quick = replace(session(End.SUBMITTED, 1), ended=3001.0)
    assert plan([a_task("x", *mine), a_task("y", *theirs, quick)], now=4000.0).park == ()
    early = [replace(s, ended=s.ended - 500.0) for s in theirs]
    assert plan([a_task("x", *mine), a_task("y", *early)], now=4000.0).park[0][0] == "x"
    assert [name for name, _ in plan([a_task("x", *mine * 4), a_task("y", *theirs * 4)], now=4000.0).park] == ["x", "y"]


def test_whether_a_silence_is_shared_is_told_by_the_next_session_that_ends():
    """The first session that an outage cuts off has no witness yet; as long as others work, one will come."""
    mine = [replace(failed(Kind.LIMIT, ended, End.TIMEOUT), seconds=200.0) for ended in (1000.0, 2000.0, 3000.0)]
    before = replace(session(End.SUBMITTED, 1), ended=2990.0)
    busy = a_task("y", before)
    assert plan([a_task("x", *mine), busy], now=3001.0, y=Status.WORKING) == Dispatch(), "neither parked nor begun"
    silent = replace(failed(Kind.LIMIT, 3005.0, End.STUCK), seconds=200.0)
    assert plan([a_task("x", *mine), busy.add(silent)], now=3006.0, y=Status.WORKING).start[0][0] == "x"
    well = replace(session(End.SUBMITTED, 1), ended=3005.0)
    assert plan([a_task("x", *mine), busy.add(well)], now=3006.0, y=Status.WORKING).park[0][0] == "x"
    for idle in (Status.LANDED, Status.SUBMITTED):
        assert plan([a_task("x", *mine), busy], now=3001.0, y=idle).park[0][0] == "x", "nobody else works"


def test_who_gave_up_after_a_rejection_needs_a_person():
    gave_up = replace(session(End.GAVE_UP), note="x/1 was rejected")
    assert plan([a_task("x", session(End.SUBMITTED, 1), gave_up)]).park == (("x", "it needs a person: x/1 was rejected"),)
    assert plan([a_task("x", gave_up).open()]).park == ()


def test_a_failure_that_no_other_task_has_is_its_own_in_the_end():
    row = [failed(Kind.RATE, 100.0 * n) for n in range(STUBBORN)]
    worked = [replace(session(End.SUBMITTED, 1), ended=100.0 * n + 90.0, seconds=60.0) for n in range(STUBBORN)]
    others = [a_task("y", *worked[: STUBBORN // 2], created=1.0)]
    assert plan([a_task("x", *row), *others], y=Status.LANDED).park[0][0] == "x"
    assert plan([a_task("x", *row[1:]), *others], y=Status.LANDED).park == ()
    once = [a_task("y", *worked[2:4], created=1.0)]
    assert plan([a_task("x", *row), *once], y=Status.LANDED).park == (), "between two outages the provider worked for a while"
    spanning = [a_task("y", *(replace(one, seconds=95.0) for one in worked), created=1.0)]
    assert plan([a_task("x", *row), *spanning], y=Status.LANDED).park[0][0] == "x", "their work takes longer than a pause"
    earlier = [a_task("y", *(replace(one, seconds=one.ended + 1) for one in worked), created=1.0)]
    assert plan([a_task("x", *row), *earlier], y=Status.LANDED).park == (), "what began before the row says nothing of it"


def test_as_a_try_the_task_that_was_tried_least_is_chosen():
    tasks = [a_task("old", session(End.EMPTY), created=1.0, priority=9), a_task("new", created=2.0)]
    known = {t.id: t for t in tasks}
    where_all = dict.fromkeys(known, Status.READY)
    assert dispatch(known, where_all, ("ann",), "t1", Rules(3), 1e6, trying={""}).start == (("new", "ann"),)
    assert dispatch(known, where_all, ("ann",), "t1", Rules(3), 1e6).start == (("old", "ann"),)
    assert dispatch(known, where_all, ("ann",), "t1", Rules(3), 1e6, trying={"other"}).start == (("old", "ann"),)


def test_sessions_written_before_failures_were_known_are_read():
    text = task.encode(a_task("fix", session(End.CRASHED))).replace(b'   "failure": null,\n', b"")
    assert b"failure" not in text
    assert task.decode(text) == a_task("fix", session(End.CRASHED))
    kept = a_task("fix", failed(Kind.RATE))
    assert task.decode(task.encode(kept)) == kept


def test_a_task_opened_again_has_all_its_attempts():
    spent = replace(a_task("x", session(End.EMPTY), session(End.CRASHED)), closed="parked", reason="2 attempts")
    again = spent.open()
    assert (where(again), again.attempts, again.generation) == (Status.READY, 0, 2)
    assert plan([again], attempts=1).start == (("x", "ann"),)


def test_what_comes_after_a_parked_task_is_not_parked_but_blocked():
    tasks = [a_task("first"), a_task("later", after=("first",))]
    assert plan(tasks, first=Status.PARKED, later=Status.BLOCKED) == Dispatch()
    assert plan([tasks[1]], later=Status.BLOCKED) == Dispatch()


def test_a_parked_task_whose_change_lands_all_the_same_has_landed():
    parked = a_task("fix", session(End.SUBMITTED, 1), closed="parked")
    assert where(parked, known=record(Stage.QUEUED)) == Status.PARKED
    assert where(parked, known=record(Stage.LANDED)) == Status.LANDED
    assert status(parked, None, record(Stage.LANDED), gone=True) == Status.PARKED


def test_a_generation_is_never_used_twice():
    found = a_task()
    for _ in range(3):
        found = found.add(replace(session(End.INTERRUPTED), generation=found.generation))
    assert [s.generation for s in found.sessions] == [1, 2, 3]


def test_what_landed_and_left_trunk_is_gone_until_it_is_opened():
    submitted, landed = a_task("fix", session(End.SUBMITTED, 1)), record(Stage.LANDED)
    assert status(submitted, None, landed, gone=True) == Status.GONE
    assert status(submitted.open(), None, landed, gone=True) == Status.READY
    assert status(submitted.open(), None, landed) == Status.LANDED


def test_what_trunk_held_before_counts_as_landed():
    there = replace(record(Stage.REJECTED), reason=AlreadyThere())
    assert where(a_task("fix", session(End.SUBMITTED, 1)), known=there) == Status.LANDED


def test_a_task_whose_change_is_gone_is_parked_once_that_trunk_is_adopted():
    fix = a_task("fix", session(End.SUBMITTED, 2))
    for adopted, parked in ((True, ["fix"]), (False, [])):
        made = dispatch({"fix": fix}, {"fix": Status.GONE}, ("ann",), "t1", Rules(3), 1e6, adopted=adopted)
        assert [name for name, _ in made.park] == parked and made.start == ()
    assert "fix/2" in dispatch({"fix": fix}, {"fix": Status.GONE}, ("ann",), "t1", Rules(3), 1e6).park[0][1]


def test_where_tasks_stand_follows_from_those_before_them():
    fix, then, last = a_task("fix", session(End.SUBMITTED, 1)), a_task("then", after=("fix",)), a_task("last", after=("then",))
    tasks = {t.id: t for t in (fix, then, last)}
    landed = {"fix": record(Stage.LANDED)}
    assert standings(tasks, {"then": CLAIM}, landed, ()) == {
        "fix": Status.LANDED, "then": Status.WORKING, "last": Status.BLOCKED,
    }  # fmt: skip
    assert standings(tasks, {}, landed, {"fix"}) == {"fix": Status.GONE, "then": Status.BLOCKED, "last": Status.BLOCKED}
    assert standings({**tasks, "then": replace(then, closed="done")}, {}, {}, ())["last"] == Status.READY


@pytest.mark.parametrize(
    "facts",
    [
        {"generation": GENERATION},
        {"generation": GENERATION - 1},
        {"generation": GENERATION // 2 + 1},
        {"revision": REVISION},
        {"seconds": -1.0},
        {"seconds": 1e300},
        {"ended": -1.0},
        {"ended": 1e300},
        {"generation": -1},
        {"revision": -3},
        {"spent": Spent(tokens=-1)},
        {"spent": Spent(seconds=1e300)},
    ],
)
def test_a_session_that_nobody_can_have_written(facts):
    with pytest.raises(ValueError, match="nobody can have written"):
        task.decode(task.encode(a_task("x", replace(session(End.CRASHED), **facts))))


def test_the_next_session_of_a_task_that_can_be_read_can_be_read_too():
    found = a_task("x", replace(session(End.CRASHED), generation=GENERATION // 2))
    for _ in range(3):
        found = task.decode(task.encode(found.add(replace(session(End.CRASHED), generation=found.generation))))


def test_no_pause_waits_for_a_session_that_ended_in_the_future():
    now, ahead = 1e9, 1e9 + 10 * 86400
    rate = Failure(Kind.RATE, "no", 0.0)
    for forged in (replace(failed(Kind.RATE), ended=ahead), replace(session(End.DEFERRED, trunk="t0"), ended=ahead)):
        others = {"other": Status.WORKING}
        assert plan([a_task("x", forged), a_task("other")], now=now, **others).start == (("x", "ann"),)
        assert plan([a_task("x", replace(forged, ended=now + 1)), a_task("other")], now=now, **others).start == ()
    known = a_task("x", replace(session(End.CRASHED), ended=now - 5), replace(session(End.CRASHED), ended=ahead, failure=rate))
    assert [s.ended for s in task.dated(known, now).sessions] == [now - 5, 0.0]
    assert task.dated(known, ahead - SKEW) is known


def test_what_no_submission_and_no_program_can_have_is_read_as_what_they_can():
    assert task.decode(task.encode(a_task("x", priority=PRIORITY + 1))).priority == PRIORITY
    assert task.decode(task.encode(a_task("x", priority=-(10**18)))).priority == -PRIORITY
    zero = a_task("x", replace(session(End.CRASHED), salvage="refs/x\0", handoff="a\0b"), acceptance="c\0", paths=("d\0",))
    found = task.decode(task.encode(zero))
    assert (found.acceptance, found.paths) == (r"c\0", (r"d\0",))
    assert (found.sessions[0].salvage, found.sessions[0].handoff) == (r"refs/x\0", r"a\0b")
    assert task.decode(task.encode(a_task("x", acceptance=r"\u0000"))).acceptance == r"\u0000"
