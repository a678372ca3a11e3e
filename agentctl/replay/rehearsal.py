"""One replay: a hub made for it, the fleet and the bot on it, and what came out."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace

from agentctl.commands.narrator import Narrator
from agentctl.commands.parser import Given
from agentctl.commands.run import Job, Summary, loop
from agentctl.core.ledger import Record
from agentctl.core.lifecycle import Stage
from agentctl.core.policy import Policy
from agentctl.core.task import End, Task
from agentctl.fleet import tasks
from agentctl.fleet.supervisor import Crew
from agentctl.git import process
from agentctl.git.hub import POLICY_PATH, Hub, find
from agentctl.git.merge import changed
from agentctl.git.refs import Transaction
from agentctl.queue import answers
from agentctl.queue.ledger import Ledger
from agentctl.queue.proof import prove
from agentctl.replay import agent, history
from agentctl.replay.history import Piece


@dataclass(frozen=True)
class Outcome:
    summary: Summary
    deferred: int
    differences: tuple[str, ...]
    """Paths in which trunk's last tree differs from the history's."""
    unseen: tuple[str, ...]
    """Tasks whose bug was never rejected with evidence."""
    broken: tuple[str, ...]
    """Findings of `verify`."""
    parked: dict[str, str]

    @property
    def good(self) -> bool:
        return self.summary.landed == self.summary.tasks and not (self.differences or self.unseen or self.broken)


def make_hub(source: str, folder: str) -> Hub:
    """A bare hub that borrows the objects of `source`, which is never written to."""
    process.as_user(["clone", "--quiet", "--bare", "--shared", "--", source, folder], cwd=os.path.dirname(folder))
    return find(folder)


def begin(hub: Hub, tree: str, policy_text: str) -> str:
    """Make `main` start at `tree` with the policy added; all other branches go."""
    with_policy = hub.objects.replace(tree, {POLICY_PATH: policy_text.encode()})
    made = hub.objects.write_commit(with_policy, (), "Where the replay begins\n", 0)
    for name in hub.git("for-each-ref", "--format=%(refname)").split():
        hub.git("update-ref", "-d", name)
    create = Transaction(hub.git_dir, "begin")
    create.create("refs/heads/main", made)
    create.commit()
    hub.git("symbolic-ref", "HEAD", "refs/heads/main")
    return made


def rehearse(given: Given, hub: Hub, policy: Policy, pieces: list[Piece], agents: int,
             slots: int | None, batch: int | None) -> Outcome:
    """Run the tasks to the end and compare with the history."""
    plan = os.path.join(hub.git_dir, "replay", "plan.json")
    os.makedirs(os.path.dirname(plan), exist_ok=True)
    history.save(pieces, plan)
    now = time.time()
    tasks.add(hub, [Task(p.task, p.task, "Apply the change of this piece of history.", created=now + n / 1000)
                    for n, p in enumerate(pieces)])
    inner = replace(given, path=hub.git_dir)
    narrator = Narrator(inner)
    crew = Crew(tuple(f"agent-{n}" for n in range(1, agents + 1)),
                (sys.executable, "-I", "-S", agent.__file__, plan), False)
    summary, parked = loop(inner, Job(crew, policy, None, slots, batch), narrator)
    return Outcome(
        summary, sum(s.end == End.DEFERRED for s in narrator.sessions), _differences(hub, pieces[-1].target),
        _unseen(hub, pieces), tuple(f.text for f in prove(hub, "main")[1] if f.grave), parked)


def _differences(hub: Hub, target: str) -> tuple[str, ...]:
    last = hub.objects.commit(hub.trunk_tip("main")).tree
    return tuple(path for path, *_ in changed(hub, target, last) if path != POLICY_PATH)


def _unseen(hub: Hub, pieces: list[Piece]) -> tuple[str, ...]:
    """Bugs for which the ledger has no rejection by the gate whose answer names the bug."""
    rejected: dict[str, list[Record]] = {}
    for record in Ledger.read(hub).ended():
        if record.stage == Stage.REJECTED and record.kind == "gate":
            rejected.setdefault(record.change.id, []).append(record)
    return tuple(p.task for p in pieces if p.bug and not any(
        (answer := answers.read(hub, r)) and (answer.log or answer.verdict.get("failed"))
        for r in rejected.get(p.task, ())))
