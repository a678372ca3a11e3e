"""What it costs to look into worktrees without running Git in them, compared with plain Git, which runs in them.

    python -m bench.looks [FILES] [RUNS]

Each row is the median of RUNS turns, in which ours and plain Git's follow each other. The rows: to make an agent's
worktree; to make it fresh again; to look at what a session left (nothing, a commit, uncommitted files) and bring it
to the hub; to prepare a slot for the next gate; and `agentctl submit` beside `git push` to the same repository.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from agentctl.fleet import agents
from agentctl.gate import slots
from agentctl.git import worktrees
from agentctl.git.repository import find
from agentctl.hub.policy_file import read_policy
from bench.common import ENV, git, repository, table


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


class Bench:
    def __init__(self, top: str, runs: int) -> None:
        self.top, self.runs = top, runs
        self.rows: list[tuple[object, ...]] = []
        self.hub = find(top)
        self.tip = self.hub.trunk_tip("main")
        self.plain = top + "-plain"
        self.count = 0

    def row(
        self,
        name: str,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        before: Callable[[str], object] = lambda folder: None,
        ready: Callable[[], object] = lambda: None,
    ) -> None:
        both: tuple[list[float], list[float]] = [], []
        for _ in range(self.runs):
            for act, folder, found in ((ours, agents.path_of(self.hub, "ann"), both[0]), (theirs, self.plain, both[1])):
                ready()
                self.count += 1
                before(folder)
                found.append(timed(act))
        mine, other = (statistics.median(found) for found in both)
        self.rows.append((name, mine, other, mine / other))

    # what agentctl does

    def prepare(self) -> None:
        agents.prepare(self.hub, "ann", self.tip, "main")

    def remove(self) -> None:
        agents.remove(self.hub, "ann", self.tip)
        git(self.top, "worktree", "remove", "--force", self.plain, check=False)

    def look(self) -> None:
        tree = worktrees.of_agent(self.hub, "ann")
        with agents.found(self.hub, "ann", tree, self.tip, "work\n") as there:
            agents.keep(self.hub, "ann", there)

    def slot(self) -> None:
        with slots.slot(self.hub) as place:
            slots.check_out(place, read_policy(self.hub, self.tip), self.tip)

    def submit(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "agentctl", "-C", agents.path_of(self.hub, "ann"), "submit", "--change", f"c{self.count}"],
            env=ENV,
            check=True,
            capture_output=True,
        )

    # what plain Git does

    def add(self) -> None:
        git(self.top, "worktree", "add", "-q", "--force", "--detach", self.plain, self.tip)

    def again(self) -> None:
        git(self.plain, "reset", "-q", "--hard", self.tip)
        git(self.plain, "clean", "-ffdxq")

    def status(self) -> None:
        if git(self.plain, "status", "--porcelain").stdout:
            git(self.plain, "add", "-A")
            git(self.plain, "commit", "-q", "-m", "work")
        git(self.plain, "update-ref", f"refs/kept/{self.count}", "HEAD")

    def push(self) -> None:
        git(self.plain, "push", "-q", self.top, f"HEAD:refs/kept/{self.count}")

    # what happens in a worktree

    def touch(self, folder: str) -> None:
        with open(os.path.join(folder, f"work-{self.count}.txt"), "w") as file:
            file.write(f"{self.count}\n")

    def ended(self, folder: str) -> None:
        """Leave a file as a session does, and look at what is left as after its end."""
        self.touch(folder)
        if folder != self.plain:
            self.look()

    def commit(self, folder: str) -> None:
        self.touch(folder)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "work")

    def both_fresh(self) -> None:
        self.prepare()
        self.again()


def main(files: int, runs: int) -> None:
    content = {f"src/d{i % 50}/f{i}.txt": f"file {i}\n" * 20 for i in range(files)}
    with repository(content, "true") as top:
        bench = Bench(top, runs)
        bench.row("a new worktree", bench.prepare, bench.add, ready=bench.remove)
        bench.remove()
        bench.prepare()
        bench.add()
        bench.row("fresh again, after a session's end", bench.prepare, bench.again, bench.ended)
        bench.row("a session that left nothing", bench.look, bench.status, ready=bench.both_fresh)
        bench.row("a session that left a commit", bench.look, bench.status, bench.commit, bench.both_fresh)
        bench.row("a session that left a file", bench.look, bench.status, bench.touch, bench.both_fresh)
        bench.slot()
        bench.row("a slot for the next gate", bench.slot, bench.again)
        bench.row("submit, beside git push", bench.submit, bench.push, bench.commit)
    table(bench.rows, (f"{files} files, ms", "agentctl", "plain Git", "ratio"))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*[*numbers, *(500, 11)[len(numbers) :]][:2])
