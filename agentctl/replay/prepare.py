"""Trying the gate on a history before it is replayed: which commits are red, which bugs are caught.

What is learned is cached by gate and tree in the user's cache folder, and never shown to
the bot: its probes must not be free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from agentctl.core.model import Verdict
from agentctl.core.policy import Policy, fingerprint
from agentctl.errors import Infrastructure
from agentctl.git.hub import Hub
from agentctl.queue import gate
from agentctl.replay.history import Bug, Piece, candidates, changed_files, with_bug


class Tried:
    """What the gate says of trees."""

    def __init__(self, hub: Hub, policy: Policy) -> None:
        self.hub, self.policy, self.runs = hub, policy, gate.Runs()
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._file = os.path.join(base, "agentctl", "replay", fingerprint(policy) + ".json")
        try:
            with open(self._file) as file:
                self._known: dict[str, bool] = json.load(file)
        except (OSError, ValueError):
            self._known = {}

    def green(self, trees: Iterable[str], progress: Callable[[int, int], None]) -> dict[str, bool]:
        """Whether the gate passes on each tree; several are tried at a time."""
        wanted = list(dict.fromkeys(trees))
        new = [tree for tree in wanted if tree not in self._known]
        with ThreadPoolExecutor(self.policy.queue.slots) as pool:
            try:
                for done, (tree, good) in enumerate(pool.map(self._try, new), 1):
                    self._known[tree] = good
                    progress(done, len(new))
            except BaseException:
                self.runs.stop()
                raise
            finally:
                self._save()
        return {tree: self._known[tree] for tree in wanted}

    def _try(self, tree: str) -> tuple[str, bool]:
        commit = self.hub.objects.write_commit(tree, (), "trial\n", 0)
        for _ in range(3):
            judgement = gate.judge(self.hub, self.policy, self.runs, commit)
            if judgement.verdict in (Verdict.PASSED, Verdict.FAILED):
                return tree, judgement.verdict == Verdict.PASSED
        raise Infrastructure(f"the gate gives no verdict of tree {tree[:12]}: {judgement.why}",
                             hint="look at what it prints:\n" + judgement.log[-2000:])

    def _save(self) -> None:
        os.makedirs(os.path.dirname(self._file), exist_ok=True)
        with open(self._file + ".new", "w") as file:
            json.dump(self._known, file)
        os.replace(self._file + ".new", self._file)


def injected(tried: Tried, found: list[Piece], order: list[int], count: int,
             progress: Callable[[int, int], None]) -> list[Piece]:
    """The pieces, `count` of them with a bug that the gate catches, taken in `order`.

    Raises Infrastructure if there are not that many.
    """
    chosen: dict[int, Bug] = {}
    rest = list(order)
    while len(chosen) < count:
        if not rest:
            raise Infrastructure(f"only {len(chosen)} of {count} bugs are caught by the gate",
                                 hint="a smaller --bad, or a gate that tests more")
        now, rest = rest[: count - len(chosen)], rest[count - len(chosen) :]
        bugs = {i: candidates(found[i], changed_files(tried.hub, found[i]))[:1] for i in now}
        trees = {(i, bug): with_bug(tried.hub, found[i].target, bug) for i in now for bug in bugs[i]}
        verdicts = tried.green(trees.values(), progress)
        chosen |= {i: bug for (i, bug), tree in trees.items() if not verdicts[tree]}
    return [replace(piece, bug=chosen.get(i)) for i, piece in enumerate(found)]
