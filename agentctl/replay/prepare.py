"""Trials of the gate on a history before it is replayed: which commits are red, which bugs are caught.

What is learned is cached by gate and tree in the user's cache folder. The bot never sees it, because its probes must
not be free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agentctl import signals
from agentctl.core.policy.policy import Policy, fingerprint
from agentctl.core.queue.model import Verdict
from agentctl.core.text import json_form
from agentctl.core.text.json_form import replace
from agentctl.errors import Infrastructure, UsageError
from agentctl.gate import judging
from agentctl.git import modes
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub
from agentctl.hub.verdicts import Judgement
from agentctl.replay import history
from agentctl.replay.history import Bug, Piece

TRIES = 3
"""How often a gate that gives no verdict is run, and how many bugs of a piece are tried at most."""

Progress = Callable[[int, int], None]
"""A function that is told how many trials are done, and of how many."""


class GateTrials:
    """What the gate says about trees."""

    def __init__(self, hub: Hub, policy: Policy) -> None:
        self.hub, self.policy, self.runs = hub, policy, judging.GateRun()
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._file = os.path.join(base, "agentctl", "replay", fingerprint(policy) + ".json")
        self._known = self._load()

    def green(self, trees: Iterable[str], progress: Progress) -> dict[str, bool]:
        """Return by tree whether the gate passes on it; several trees are tried at a time."""
        wanted = list(dict.fromkeys(trees))
        new = [tree for tree in wanted if tree not in self._known]
        with ThreadPoolExecutor(self.policy.queue.slots) as pool:
            try:
                for done, trial in enumerate([pool.submit(self._try, tree) for tree in new], 1):
                    tree, good = signals.result(trial)
                    self._known[tree] = good
                    progress(done, len(new))
            except BaseException:
                self.runs.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                self._save()
        return {tree: self._known[tree] for tree in wanted}

    def _try(self, tree: str) -> tuple[str, bool]:
        for _ in range(TRIES):
            judgement = self.judge(tree)
            if judgement.verdict in (Verdict.PASSED, Verdict.FAILED):
                return tree, judgement.verdict == Verdict.PASSED
        raise Infrastructure(
            f"the gate gives no verdict of tree {tree[:12]}: {judgement.why}",
            hint="look at what it prints:\n" + judgement.log[-2000:],
        )

    def judge(self, tree: str) -> Judgement:
        """Run the gate once on a tree, whatever is known of it."""
        return judging.judge(self.hub, self.policy, self.runs, self.hub.objects.write_commit(tree, (), "trial\n", 0))

    def _load(self) -> dict[str, bool]:
        try:
            with open(self._file, "rb") as file:
                return json_form.load(dict[str, bool], file.read())
        except (OSError, ValueError):
            return {}

    def _save(self) -> None:
        """Write what is known to the cache, with what another replay has learned meanwhile."""
        modes.folder(os.path.dirname(self._file))
        new = f"{self._file}.{os.getpid()}"
        modes.write(new, json.dumps(self._load() | self._known))
        os.replace(new, self._file)


@dataclass(frozen=True)
class Prepared:
    base: str
    """The tree that trunk begins with."""
    pieces: list[Piece]
    commits: int
    told: str
    """What was found, in words."""


def prepare(tried: GateTrials, words: str, share: float, limit: int | None, seed: int, progress: Progress) -> Prepared:
    """Try the gate on the whole range and make the tasks, a share of them with a bug.

    Raises Infrastructure if the gate is of no use for that, and UsageError if nothing is left to replay.
    """
    below, commits = history.commits_of(tried.hub, words)
    commits = commits[:limit]
    base = tried.hub.objects.commit(below).tree if below else EMPTY_TREE
    green = tried.green([base, *(c.tree for c in commits)], progress)
    groups, left = history.group([green[c.tree] for c in commits])
    if not groups:
        said = tried.judge(commits[-1].tree)
        raise Infrastructure(
            f"the gate finds every commit of this range red, the last with: {said.why}",
            hint="try it by hand in a checkout. It said:\n" + said.log[-2000:],
        )
    notes = []
    if left:
        notes.append(f"{len(left)} red commits at the end are left out")
    if not green[base]:
        base, groups = commits[groups[0][-1]].tree, groups[1:]
        notes.append("the gate is red below the range, so trunk begins with its first green commit")
    found = history.pieces(commits, groups, base)
    if not found:
        raise UsageError(
            f"there is nothing to replay in {words}: no green commit changes a file of a green one", hint="a longer range"
        )
    found = injected(tried, found, history.drawn(len(found), seed), round(share * len(found)), progress)
    facts = (
        f"{len(commits)} commits, {sum(not green[c.tree] for c in commits)} of them red: {len(found)} tasks, "
        f"{sum(len(g) > 1 for g in groups)} of several commits, {sum(p.bug is not None for p in found)} with a bug"
    )
    return Prepared(base, found, len(commits), "; ".join([facts, *notes]))


def injected(tried: GateTrials, found: list[Piece], order: Sequence[int], count: int, progress: Progress) -> list[Piece]:
    """Return the pieces, `count` of them with a bug that the gate catches, taken in `order`.

    Raises Infrastructure if there are not that many.
    """
    stays = frozenset(path for path, _ in tried.hub.objects.walk(found[-1].target)) if found else frozenset()
    chosen: dict[int, Bug] = {}
    rest = list(order)
    while len(chosen) < count:
        if not rest:
            raise Infrastructure(
                f"the gate catches a bug in {len(chosen)} of the changes only, {count} are wanted",
                hint="a smaller --bad, or a gate that tests more",
            )
        now, rest = rest[: count - len(chosen)], rest[count - len(chosen) :]
        chosen |= _caught(tried, found, {i: _bugs(tried, found[i], stays) for i in now}, progress)
    return [replace(piece, bug=chosen.get(i)) for i, piece in enumerate(found)]


def _bugs(tried: GateTrials, piece: Piece, stays: frozenset[str]) -> list[Bug]:
    """Return the bugs to try for a piece: first in files that it changes, then in any module."""
    near = history.candidates(piece, history.changed_files(tried.hub, piece), stays)[: TRIES - 1]
    far = history.candidates(piece, history.modules(tried.hub, piece.target), stays)
    return (near + [bug for bug in far if bug not in near])[:TRIES]


def _caught(tried: GateTrials, found: list[Piece], bugs: dict[int, list[Bug]], progress: Progress) -> dict[int, Bug]:
    """Return by piece the first bug of its list that the gate catches in the piece's last tree."""
    chosen: dict[int, Bug] = {}
    for turn in range(TRIES):
        now = {i: listed[turn] for i, listed in bugs.items() if i not in chosen and turn < len(listed)}
        trees = {i: history.with_bug(tried.hub, found[i].target, bug) for i, bug in now.items()}
        green = tried.green(trees.values(), progress)
        chosen |= {i: bug for i, bug in now.items() if not green[trees[i]]}
    return chosen
