"""What the demonstration proves at its end, each point from facts and not from what was reported."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from agentctl.demo.place import SUITE, Place
from agentctl.engine import environ, processes
from agentctl.git import checkouts, process
from agentctl.hub.verification import prove

TRIES = 6
"""Runs of the suite before its failure is believed, since one run in 12 fails by chance."""


@dataclass(frozen=True)
class Check:
    what: str
    holds: bool
    found: str


def all_checks(place: Place) -> list[Check]:
    return [_invariants(place), _trunk(place), _processes(place), _worktrees(place), _checkout(place)]


def _invariants(place: Place) -> Check:
    counts, findings = prove(place.hub, "main")
    grave = [f.text for f in findings if f.grave]
    return Check(
        "invariants",
        not grave,
        grave[0] if grave else f"hold: {counts.landed} landed in {counts.moves} moves of trunk, each to a tree that passed",
    )


def _trunk(place: Place) -> Check:
    """Run trunk's own tests in a fresh export."""
    where = os.path.join(place.folder, "export")
    os.makedirs(where)
    alone = {"GIT_INDEX_FILE": where + ".index", "GIT_WORK_TREE": where}
    for words in (("read-tree", "main"), ("checkout-index", "--all")):
        process.run(words, git_dir=place.hub.git_dir, cwd=where, env=alone)
    for run in range(1, TRIES + 1):
        done = subprocess.run(SUITE, cwd=where, env=environ.given(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            ran = next((line for line in done.stderr.splitlines() if line.startswith("Ran ")), "").split(" in ")[0]
            return Check(
                "trunk", True, f"green in a fresh export: {ran[:1].lower()}{ran[1:]}" + (f", at try {run}" if run > 1 else "")
            )
    return Check("trunk", False, "red in a fresh export: " + done.stderr.strip().splitlines()[-1])


def _processes(place: Place) -> Check:
    left = processes.sweep(place.hub.mark)
    return Check("processes", left == 0, f"{left or 'none'} left")


def _worktrees(place: Place) -> Check:
    left = [found.path for found, _ in checkouts.listing(place.hub) if found.path != place.project]
    if os.path.exists(place.hub.worktrees):
        left.append(place.hub.worktrees)
    return Check("worktrees", not left, ", ".join(left) or "none left")


def _checkout(place: Place) -> Check:
    found = checkouts.at(place.hub, place.project)
    assert found, place.project
    changed = found.differing().dirty
    behind = found.head() != place.hub.trunk_tip("main")
    return Check("checkout", not changed and not behind, ", ".join(changed) or "clean, at trunk's tip")
