"""All checks, in order, and their mends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from agentctl.doctor import Check, Patient, Symptom, checkouts, machine, refs, setup, worktrees
from agentctl.errors import AgentctlError, Contended
from agentctl.git import stale_locks
from agentctl.hub import policy_file

FIRST = (*machine.CHECKS, *setup.CONFIG, refs.FILES)
"""Checks that work even if nothing of the hub is sound but its own folder."""

REST = (*machine.LEFT, *refs.CHECKS, *setup.POLICY)
NEED_TRUNK = (*setup.CHECKS, *checkouts.CHECKS, *worktrees.CHECKS)
ALL = (machine.OWN, *FIRST, *REST, *NEED_TRUNK)
MENDS = {check.name: check for check in ALL if check.mend}
"""Checks that have a mend, by name, in an order in which none fails on a fault that a later one mends."""


def examine(patient: Patient) -> list[Symptom]:
    """Return every finding, and each only once."""
    found: dict[str, Symptom] = {}
    for each in _findings(patient):
        found.setdefault(each.what, each)
    return list(found.values())


def mend(patient: Patient, names: list[str]) -> Iterator[str]:
    """Mend what these checks find, and yield what was done.

    If one of them needs trunk or its policy, raises what keeps these from being read.
    """
    checks = [MENDS[name] for name in names]
    if machine.OWN in checks:
        # All else relies on the hub's own folder, also the clearing of locks and a look at the remote.
        checks.remove(machine.OWN)
        yield from machine.move_aside(patient)
    with contextlib.suppress(Contended):
        # A mend that was killed at its very end may have left these locks.
        stale_locks.clear(patient.hub.git_dir, stale_locks.ref_locks(patient.hub.git_dir))
    for check in checks:
        patient.look()
        if check in NEED_TRUNK:
            policy_file.in_force(patient.hub)
        if check.mend:
            yield from check.mend(_with_trunk(patient))


def left(patient: Patient, names: list[str]) -> list[Symptom]:
    """Return what these checks still find after their mends: what a person has to decide."""
    patient = _with_trunk(patient)
    return [found for name in names for found in _by(MENDS[name], patient)]


def _findings(patient: Patient) -> Iterator[Symptom]:
    if own := [*_by(machine.OWN, patient)]:
        # All else relies on the hub's own folder, also a look at the remote.
        yield from own
        return
    patient.look()
    for check in FIRST:
        found = [*_by(check, patient)]
        yield from found
        if found and check is refs.FILES:
            # All checks after it rely on refs.
            return
    # Checks that have mends go first, as another check may fail on the same fault.
    patient = _with_trunk(patient)
    for check in (*REST, *(NEED_TRUNK if patient.tip else ())):
        yield from _by(check, patient)


def _by(check: Check, patient: Patient) -> Iterator[Symptom]:
    try:
        yield from check.find(patient)
    except AgentctlError as error:
        yield Symptom(error.message, note=error.hint)


def _with_trunk(patient: Patient) -> Patient:
    try:
        tip, policy = policy_file.in_force(patient.hub)
        return replace(patient, trunk=policy.trunk, tip=tip, in_force=policy)
    except AgentctlError:
        return replace(patient, trunk=patient.hub.config("agentctl.trunk") or patient.trunk)
