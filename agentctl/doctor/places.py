"""Agents, their claims and the gates' slots. This alone of the doctor's looks into worktrees that agents wrote."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from agentctl.core import refnames
from agentctl.core.task import decode_claim
from agentctl.doctor import Check, Finding, Patient
from agentctl.engine import locks
from agentctl.errors import Contended
from agentctl.fleet import agents, supervisor
from agentctl.git import refs, worktrees
from agentctl.messages import quoted
from agentctl.queue import gate


def _claims(patient: Patient) -> Iterator[Finding]:
    for name, ref in refs.read(patient.hub.git_dir, [refnames.CLAIMS]).items():
        with contextlib.suppress(ValueError):
            claim = decode_claim(ref.subject)
            if supervisor.outlived(claim):
                yield Finding(f"the claim of {claim.agent} on {name.removeprefix(refnames.CLAIMS)} outlived its supervisor",
                              patient.mend("claims"), "its work is made safe, and the task is open again; so does agentctl run")


def _take_over(patient: Patient) -> Iterator[str]:
    for name in supervisor.take_over(patient.hub, patient.trunk, patient.policy):
        yield f"{name}: open again"


def _agents(patient: Patient) -> Iterator[Finding]:
    hub = patient.hub
    for name in agents.names(hub):
        if locks.holder(hub.own_path("locks", "agents", f"{name}.lock")):
            continue
        tree = worktrees.at(hub, agents.path_of(hub, name))
        unsafe = tree is None or agents.unsafe(hub, name, tree, patient.tip)
        yield Finding(f"{name} has a worktree but runs no session", f"{patient.agentctl} rm {'--force ' if unsafe else ''}{name}",
                      "it has work that was not submitted, which is kept by a salvage ref" if unsafe else "")


def _slots(patient: Patient) -> Iterator[Finding]:
    slots = os.path.join(patient.hub.worktrees, "slots")
    if os.path.isdir(slots) and not locks.holder(patient.hub.own_path("locks", "bot.lock")):
        yield Finding(f"the gates' worktrees in {slots} have no bot", patient.mend("slots"))


def _remove_slots(patient: Patient) -> Iterator[str]:
    with contextlib.suppress(Contended), locks.acquire(patient.hub.own_path("locks", "bot.lock"), "the bot"):
        gate.remove_slots(patient.hub)
        yield "removed the gates' worktrees"


def _blocking(patient: Patient) -> Iterator[Finding]:
    """Branches agent/NAME cannot be made beside a branch called agent."""
    taken = refs.read(patient.hub.git_dir, ["refs/heads/"])
    if refnames.AGENT_BRANCH.rstrip("/") in taken:
        free = next(name for n in range(1, len(taken) + 2) if refnames.branch(name := f"agent-{n}") not in taken)
        yield Finding("a branch called agent keeps the branches agent/NAME of agents from being made",
                      f"git --git-dir={quoted(patient.hub.git_dir)} branch -m agent {free}")


CHECKS = (Check("claims", _claims, _take_over), Check("agents", _agents), Check("slots", _slots, _remove_slots),
          Check("branch", _blocking))
