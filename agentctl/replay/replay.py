"""One replay: a hub made for it, the tasks for the fleet, and the outcome."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from agentctl.core.queue.records import Record, reason_kind
from agentctl.core.tasks.task import Task
from agentctl.fleet.crew import Crew
from agentctl.git import process
from agentctl.git.merge import changed
from agentctl.git.repository import POLICY_PATH, Hub, find
from agentctl.harness.summary import Summary
from agentctl.hub import outbox, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.verification import prove
from agentctl.replay import agent, history
from agentctl.replay.history import Piece

TRUNK = "refs/heads/main"


@dataclass(frozen=True)
class ReplayOutcome:
    summary: Summary
    injected: int
    """How many revisions that held their bug the gate rejected."""
    deferred: int
    differences: tuple[str, ...]
    """The paths in which trunk's last tree differs from the history's."""
    unseen: tuple[str, ...]
    """Tasks whose bug was handed in and never rejected with evidence."""
    broken: tuple[str, ...]
    """The grave findings of `verify`."""
    parked: dict[str, str]

    @property
    def good(self) -> bool:
        return self.summary.landed == self.summary.tasks and not (self.differences or self.unseen or self.broken)


def make_hub(source: str, folder: str) -> Hub:
    """Make a bare hub that borrows the objects of `source`, which is never written to, with `main` for its trunk."""
    process.as_user(["clone", "--quiet", "--bare", "--shared", "--", source, folder], cwd=os.path.dirname(folder))
    hub = find(folder)
    if not hub.refs.get(TRUNK) and (head := hub.git("rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1))):
        move = hub.refs.transaction("begin")
        move.create(TRUNK, head)
        move.commit()
    return hub


def begin(hub: Hub, tree: str, policy_text: str) -> str:
    """Make `main` start at `tree` with the policy added, delete all other refs, and return main's commit."""
    with_policy = hub.objects.replace(tree, {POLICY_PATH: policy_text.encode()})
    made = hub.objects.write_commit(with_policy, (), "Where the replay begins\n", 0)
    hub.git("symbolic-ref", "HEAD", TRUNK)
    move = hub.refs.transaction("begin")
    for ref in hub.refs.read(["refs/"]).values():
        if ref.name != TRUNK:
            move.delete(ref.name, ref.oid)
    move.update(TRUNK, made, hub.refs.get(TRUNK))
    move.commit()
    return made


def cast(hub: Hub, pieces: list[Piece], agents: int) -> Crew:
    """Add a task for each piece, and return the crew of agents that know what to do about them."""
    plan = os.path.join(hub.git_dir, "replay", "plan.json")
    os.makedirs(os.path.dirname(plan), exist_ok=True)
    history.save(pieces, plan)
    now = time.time()
    tasks.add(
        hub,
        [
            Task(p.task, p.task, "Apply the change of this piece of history.", created=now + n / 1000)
            for n, p in enumerate(pieces)
        ],
    )
    return Crew(agents, (sys.executable, "-I", "-S", agent.__file__, plan), False)


def outcome(hub: Hub, pieces: list[Piece], summary: Summary, parked: dict[str, str], deferred: int) -> ReplayOutcome:
    """Compare what the agents have made of the hub with the history."""
    caught = rejected_with_bug(hub, pieces)
    return ReplayOutcome(
        summary,
        sum(len(found) for found in caught.values()),
        deferred,
        differences(hub, pieces),
        unseen(hub, caught),
        tuple(f.text for f in prove(hub, "main")[1] if f.grave),
        parked,
    )


def differences(hub: Hub, pieces: list[Piece]) -> tuple[str, ...]:
    last = hub.objects.commit(hub.trunk_tip("main")).tree
    return tuple(path for path, *_ in changed(hub, pieces[-1].target, last) if path != POLICY_PATH)


def rejected_with_bug(hub: Hub, pieces: list[Piece]) -> dict[str, list[Record]]:
    """Return by task with a bug the revisions that held the bug and were rejected by the gate."""
    found: dict[str, list[Record]] = {p.task: [] for p in pieces if p.bug}
    bugs = {p.task: p.bug for p in pieces if p.bug}
    for record in Ledger.read(hub).ended():
        bug = bugs.get(record.change.id)
        if bug and reason_kind(record) == "gate":
            if history.holds(hub, hub.objects.commit(record.change.head).tree, bug):
                found[record.change.id].append(record)
    return found


def unseen(hub: Hub, caught: dict[str, list[Record]]) -> tuple[str, ...]:
    """Return the tasks whose bug was never rejected with evidence; `caught` is what `rejected_with_bug` returns.

    A task of which no revision landed, and none was rejected, is none of them: another one had its work done.
    """
    ledger = Ledger.read(hub)
    due = [(task, found) for task, found in caught.items() if found or ledger.newest_landed(task)]
    return tuple(task for task, found in due if not any(_evident(hub, record) for record in found))


def _evident(hub: Hub, record: Record) -> bool:
    """Tell whether the answer is about this very revision and names the tree that failed with it."""
    answer = outbox.read(hub, record)
    return bool(answer and answer.said.change == record.key and answer.said.failed)
