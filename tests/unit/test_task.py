from __future__ import annotations

from dataclasses import replace

from agentctl.core import task
from agentctl.core.ledger import Record
from agentctl.core.lifecycle import Stage
from agentctl.core.model import Change
from agentctl.core.task import FIRST_PAUSE, LONGEST_PAUSE, Claim, End, Session, Status, Task, dispatch, status

CLAIM = Claim("ann", 1, 100.0, {"pid": 1})


def session(end: End, revision: int = 0, agent: str = "ann", trunk: str = "t1") -> Session:
    return Session(1, agent, end, 1.0, 1.0, trunk, revision)


def a_task(name: str = "fix", *sessions: Session, **facts) -> Task:
    return Task(name, name, "do " + name, sessions=sessions, **facts)


def record(stage: Stage, revision: int = 1) -> Record:
    return Record(Change("fix", revision, "h", "ann", 1, 1.0), "b", stage=stage)


def where(found: Task, claim: Claim | None = None, known: Record | None = None, done=lambda name: False) -> Status:
    return status(found, claim, known, done)


def test_encoding_keeps_everything():
    found = a_task("fix", session(End.CRASHED), after=("a",), paths=("src/**",), priority=3, acceptance="green")
    assert task.decode(task.encode(found)) == found
    assert task.decode_claim(task.encode_claim(CLAIM)) == CLAIM


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


def test_a_task_waits_for_those_it_comes_after():
    later = a_task("later", after=("first",))
    assert where(later) == Status.BLOCKED
    assert where(later, done=lambda name: name == "first") == Status.READY


def plan(tasks: list[Task], free: tuple[str, ...] = ("ann", "bob"), trunk: str = "t1", attempts: int = 3,
         now: float = 1e6, **statuses):
    known = {t.id: t for t in tasks}
    return dispatch(known, {n: statuses.get(n, Status.READY) for n in known}, free, trunk, attempts, now)


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
    assert plan([a_task("x", once, once, once)]).park == (
        ("x", "not yet, it says, and nothing is left that moves trunk"),)
    assert plan([a_task("x", once, once, once)], trunk="t2").start == (("x", "ann"),)


def test_attempts_are_counted_and_exhausted_ones_parked():
    lost = [session(e) for e in (End.DEFERRED, End.INTERRUPTED, End.EMPTY, End.CRASHED)]
    assert a_task("x", *lost).attempts == 2
    assert plan([a_task("x", *lost)], attempts=2).park == (("x", "2 attempts; the last one: crashed"),)
    assert plan([a_task("x", *lost)], attempts=3).park == ()


def test_a_task_opened_again_has_all_its_attempts():
    spent = replace(a_task("x", session(End.EMPTY), session(End.CRASHED)), closed="parked", reason="2 attempts")
    again = spent.open()
    assert (where(again), again.attempts, again.generation) == (Status.READY, 0, 2)
    assert plan([again], attempts=1).start == (("x", "ann"),)


def test_what_comes_after_a_parked_task_is_parked_too():
    tasks = [a_task("first"), a_task("later", after=("first",))]
    parked = plan(tasks, first=Status.PARKED, later=Status.BLOCKED).park
    assert parked == (("later", "it comes after first, which is parked"),)


def test_a_generation_is_never_used_twice():
    found = a_task()
    for _ in range(3):
        found = found.add(replace(session(End.INTERRUPTED), generation=found.generation))
    assert [s.generation for s in found.sessions] == [1, 2, 3]
