"""The whole demonstration, once, and what is left when it ends or is cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parents[2])
CERTAIN = {"roman", "luhn", "leap", "wrap", "median", "plural", "duration", "checksum", "percent", "outline"}
"""Troublemakers whose trouble does not depend on who comes first."""


@pytest.fixture
def world(tmp_path):
    """(folder, environment): no HOME, no identity, inside one repository and pointed at it by
    GIT_DIR, and a temporary directory of its own."""
    outer, temporary = tmp_path / "outer", tmp_path / "tmp"
    for folder in (outer, temporary):
        folder.mkdir()
    subprocess.run(["git", "init", "--quiet", outer], check=True, env={"PATH": os.environ["PATH"]})
    return outer, {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ROOT,
        "TMPDIR": str(temporary),
        "GIT_DIR": str(outer / ".git"),
        "GIT_AUTHOR_DATE": "no date",
    }


def start(world, *words):
    outer, env = world
    return subprocess.Popen(
        [sys.executable, "-m", "agentctl", "demo", *words],
        cwd=outer,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def left(world) -> list[str]:
    """What is in the temporary directory, and the processes that have it in their environment."""
    mine = f"TMPDIR={world[1]['TMPDIR']}".encode()
    found = os.listdir(world[1]["TMPDIR"])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mine in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(f"process {pid}")
        except OSError:
            continue
    return found


def test_every_task_lands_and_the_repository_is_left_if_it_is_to_be_kept(world):
    run = start(world, "--keep", "--json")
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, out + err
    told = json.loads(out)
    assert (told["tasks"], told["landed"], told["parked"]) == (24, 24, 0)
    assert all(check["holds"] for check in told["checks"]), told["checks"]
    assert {s["task"] for s in told["stories"] if s["caught"]} >= CERTAIN, told["stories"]
    assert told["rejected"] >= 4
    assert left(world) == [os.path.basename(told["folder"])]
    kit = os.path.join(told["folder"], "kit")
    assert not os.path.exists(world[0] / ".git" / "agentctl")
    env = {k: v for k, v in world[1].items() if not k.startswith("GIT_")}
    why = subprocess.run([sys.executable, "-m", "agentctl", "-C", kit, "why", "roman/1"], env=env, capture_output=True, text=True)
    assert "roman/1: rejected" in why.stdout, why.stdout + why.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(world, number):
    run = start(world)
    until_agents_work(world, run)
    run.send_signal(number)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 128 + number, out + err
    assert left(world) == []


def until_agents_work(world, run):
    """Until the first session has written its log."""
    while run.poll() is None and not list(Path(world[1]["TMPDIR"]).glob("*/kit/.git/agentctl/sessions/*/*/output.log")):
        time.sleep(0.05)
