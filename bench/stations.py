"""A history replayed by a fleet at two stations and a bot at a third, the hub on a remote, beside the same with the hub local.

    python -m bench.stations REPO RANGE --gate CMD [--kinds path,daemon,http,ssh] [--agents 4] [--ci]

All three are clones of their own. For each kind of remote: everything has landed, trunk's tree is the history's, `verify` is
clean from a fresh clone; and landings an hour, as a ratio to the same with one hub and one fleet of all agents here. With --ci there
is no bot that stays: two processes start `agentctl bot run --once` in a fresh shallow clone, again and again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.core.policy.policy import parse
from agentctl.git.repository import Hub, find
from agentctl.hub.ledger import Ledger
from agentctl.replay.prepare import GateTrials, Prepared, prepare
from agentctl.replay.replay import begin, cast, differences, make_hub
from bench.common import ENV, git, table
from bench.git_servers import KINDS, Server, serving

AGENTCTL = (sys.executable, "-m", "agentctl")


@dataclass(frozen=True)
class Work:
    folder: str
    trial: Hub
    plan: Prepared
    policy: str
    agents: int
    ci: bool


@dataclass(frozen=True)
class Ran:
    seconds: float
    landed: int
    wrong: tuple[str, ...]


def prepared(work: Work, name: str) -> tuple[Hub, tuple[str, ...]]:
    """Make a bare hub with all tasks of the history, and return it with the agent's command."""
    hub = make_hub(work.trial.git_dir, os.path.join(work.folder, name + ".git"))
    begin(hub, work.plan.base, work.policy)
    return hub, cast(hub, work.plan.pieces, work.agents).argv


def at_one_hub(work: Work) -> Ran:
    hub, argv = prepared(work, "local")
    begun = time.monotonic()
    called("run", "--agents", str(2 * work.agents), "--", *argv, cwd=hub.git_dir)
    return judged(work, hub, time.monotonic() - begun, hub.git_dir)


def at_stations(work: Work, kind: str) -> Ran:
    hub, argv = prepared(work, kind)
    with serving(kind, work.folder) as server, contextlib.ExitStack() as stack:
        stations = [station(work, server, f"{kind}-{name}") for name in ("one", "two")]
        begun = time.monotonic()
        if work.ci:
            stack.enter_context(jobs(work, server))
        else:
            stack.enter_context(bot(station(work, server, f"{kind}-bot")))
        runs = [
            subprocess.Popen(
                [*AGENTCTL, "run", "--no-bot", "--agents", str(work.agents), "--", *argv],
                cwd=one,
                env=ENV,
                stdout=subprocess.PIPE,
                text=True,
            )
            for one in stations
        ]
        said = [run.communicate()[0] for run in runs]
        seconds = time.monotonic() - begun
        failed = tuple(f"a fleet ended with {run.returncode}: {out[-500:]}" for run, out in zip(runs, said) if run.returncode)
        fresh = station(work, server, f"{kind}-fresh")
        return judged(work, find(hub.git_dir), seconds, fresh, failed)


def station(work: Work, server: Server, name: str) -> str:
    """Make a clone whose hub is the remote; it borrows the history's objects, which the agents put on trunk."""
    path = os.path.join(work.folder, name)
    settings = [word for setting in server.settings for word in ("-c", setting)]
    git(work.folder, *settings, "clone", "-q", "--reference", work.trial.git_dir, server.url(server.kind + ".git"), path)
    for setting in server.settings:
        git(path, "config", *setting.split("=", 1))
    git(path, "config", "agentctl.remote", "origin")
    return path


@contextlib.contextmanager
def bot(path: str) -> Iterator[None]:
    running = subprocess.Popen([*AGENTCTL, "bot", "run"], cwd=path, env=ENV, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait()


@contextlib.contextmanager
def jobs(work: Work, server: Server) -> Iterator[None]:
    """Let two jobs of a forge do the bot's work, each from a fresh shallow clone, again and again."""
    over, threads = threading.Event(), []

    def job(name: str) -> None:
        count = 0
        while not over.is_set():
            count += 1
            path = os.path.join(work.folder, f"{server.kind}-{name}-{count}")
            settings = [word for setting in server.settings for word in ("-c", setting)]
            url = server.url(server.kind + ".git")
            git(work.folder, *settings, "clone", "-q", "--depth=1", url if server.kind != "path" else "file://" + url, path)
            for setting in server.settings:
                git(path, "config", *setting.split("=", 1))
            git(path, "config", "agentctl.remote", "origin")
            subprocess.run([*AGENTCTL, "bot", "run", "--once"], cwd=path, env={**ENV, "CI": "true"}, capture_output=True)
            shutil.rmtree(path, ignore_errors=True)
            over.wait(2)

    for name in ("a", "b"):
        threads.append(threading.Thread(target=job, args=(name,)))
        threads[-1].start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def judged(work: Work, hub: Hub, seconds: float, where: str, wrong: tuple[str, ...] = ()) -> Ran:
    landed = sum(record.stage == "landed" for record in Ledger.read(hub).ended())
    found = [f"{path} differs from the history" for path in differences(hub, work.plan.pieces)]
    verified = called("verify", cwd=where, check=False)
    if verified.returncode:
        found.append(f"verify: {verified.stdout[-500:]}{verified.stderr[-500:]}")
    return Ran(seconds, landed, (*wrong, *found))


def called(*args: str, cwd: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*AGENTCTL, *args], cwd=cwd, env=ENV, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"agentctl {args[0]} in {cwd}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stations", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("repo")
    parser.add_argument("range")
    parser.add_argument("--gate", required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--agents", type=int, default=4, help="at each of the two stations")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ci", action="store_true")
    given = parser.parse_args()
    policy = json.dumps(
        {
            "version": 1,
            "gates": [{"name": "gate", "run": given.gate, "timeout": "10m"}],
            "queue": {"slots": given.slots},
            "agents": {"attempts": 50, "timeout": "10m"},
        }
    )
    folder = tempfile.mkdtemp(prefix="agentctl-stations-")
    try:
        trial = make_hub(find(given.repo).git_dir, os.path.join(folder, "trial.git"))
        plan = prepare(GateTrials(trial, parse(policy, "bench")), given.range, 0.0, given.limit, 1, lambda done, of: None)
        print(plan.told)
        work = Work(folder, trial, plan, policy, given.agents, given.ci)
        base = at_one_hub(work)
        rows, wrong = [("local", base, 1.0)], [f"local: {one}" for one in base.wrong]
        for kind in given.kinds.split(","):
            ran = at_stations(work, kind)
            rows.append((kind, ran, ran.landed / ran.seconds / (base.landed / base.seconds)))
            wrong += [f"{kind}: {one}" for one in ran.wrong]
        table(
            [(name, ran.landed, ran.seconds, f"{ran.landed / ran.seconds * 3600:,.0f}", ratio) for name, ran, ratio in rows],
            ("hub", "landed", "seconds", "landed an hour", "ratio"),
        )
        print("\n".join(wrong) or "every tree is the history's, and verify is clean from a fresh clone")
        sys.exit(bool(wrong))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
