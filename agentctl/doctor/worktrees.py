"""Checks of agents, their claims and the gates' slots.

No other module of the doctor looks into worktrees that agents wrote.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from agentctl.core.tasks.ending import End
from agentctl.doctor import Check, Patient, Symptom
from agentctl.engine import locks
from agentctl.errors import AgentctlError, Contended
from agentctl.fleet import agents, conclusion, takeover
from agentctl.gate import slots
from agentctl.git import worktrees
from agentctl.git.worktrees import Worktree
from agentctl.hub import presence, tasks


def _claims(patient: Patient) -> Iterator[Symptom]:
    """Find claims under which nobody works; a ref that is no claim is left to another check."""
    found = tasks.survey(patient.hub, patient.policy.agents.timeout)
    for task, (claim, _, why) in found.unheeded.items():
        yield Symptom(
            f"the claim of {claim.agent} on {task} is not heeded, since no session made it: {why}",
            patient.mend("claims"),
            "it is removed; so does agentctl run",
        )
    for task, (claim, _) in found.claims.items():
        if takeover.outlived(patient.hub, claim):
            yield Symptom(
                f"the claim of {claim.agent} on {task} outlived its supervisor",
                patient.mend("claims"),
                (
                    "its work is made safe, and "
                    if worktrees.of_agent(patient.hub, claim.agent).there
                    else "its worktree is gone; "
                )
                + "the task is open again; so does agentctl run",
            )


def _take_over(patient: Patient) -> Iterator[str]:
    for name in takeover.take_over(patient.hub, patient.trunk, patient.policy):
        yield f"{name}: nobody claims it any more"


def _agents(patient: Patient) -> Iterator[Symptom]:
    """Find agents that have a worktree but run no session.

    The agents of a living fleet wait for its next session and are left out. So is an agent with a claim: it is taken
    over, and its work is told to whoever goes on.
    """
    hub, held = patient.hub, locks.holder(patient.hub.own_path("locks", "bot.lock"))
    if held and "bot" not in held["command"].split() or presence.at_work(hub):
        return
    claimed = {claim.agent for claim, _ in tasks.survey(hub, patient.policy.agents.timeout).claims.values()}
    for name in agents.names(hub):
        if name in claimed or locks.holder(hub.own_path("locks", "agents", f"{name}.lock")):
            continue
        tree = worktrees.of_agent(hub, name)
        unsafe = not tree.there or _unsafe(patient, tree)
        note = (
            ""
            if not unsafe
            else "it has work that was not submitted, which is kept by a salvage ref"
            if tree.there
            else "another folder stands there, and is moved aside"
            if os.path.lexists(tree.path)
            else f"{tree.path} is gone, with what work it held: was it moved, or left behind, put it back there first"
        )
        yield Symptom(
            f"{name} has a worktree but runs no session", f"{patient.agentctl} rm {'--force ' if unsafe else ''}{name}", note
        )


def _unsafe(patient: Patient, tree: Worktree) -> bool:
    try:
        return bool(agents.unsafe(patient.hub, tree.name, tree, patient.tip))
    except AgentctlError:
        return True


def _aside(patient: Patient) -> Iterator[Symptom]:
    """Find what was moved aside: somebody has to look at it, and nothing deletes it."""
    folder = os.path.join(patient.hub.worktrees, worktrees.ASIDE)
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))] if os.path.isdir(folder) else []
    ended = [(session, task) for task in tasks.listed(patient.hub).values() for session in task.sessions] if paths else []
    for path in paths:
        look = "look into it, take what you need, and delete it"
        said = f"{path} stood in the place of a worktree, or holds work that could not be read or handed in"
        for session, task in ended:
            if f"{conclusion.STAYS}{path}: " in session.note:
                said = f"{path} holds the work of {session.agent} on {task.id} that could not be handed in: agentctl task show {task.id}"
                if session.end == End.BLOCKED and session is task.sessions[-1]:
                    kept = f", whose next session is told of {session.salvage}, where it is kept too" if session.salvage else ""
                    look = f"once its cause is mended: agentctl task open {task.id}{kept}; then delete the folder"
        yield Symptom(said, note=look)


def _slots(patient: Patient) -> Iterator[Symptom]:
    slots = os.path.join(patient.hub.worktrees, "slots")
    if os.path.isdir(slots) and not patient.policy.slot.keep and not locks.holder(patient.hub.own_path("locks", "bot.lock")):
        yield Symptom(f"the gates' worktrees in {slots} have no bot", patient.mend("slots"))


def _remove_slots(patient: Patient) -> Iterator[str]:
    with contextlib.suppress(Contended), locks.acquire(patient.hub.own_path("locks", "bot.lock"), "the bot"):
        slots.remove_slots(patient.hub)
        yield "removed the gates' worktrees"


CHECKS = (
    Check("claims", _claims, _take_over),
    Check("agents", _agents),
    Check("slots", _slots, _remove_slots),
    Check("aside", _aside),
)
