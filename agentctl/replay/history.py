"""The tasks of a replay, made from a range of commits."""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from agentctl.core.refnames import slug
from agentctl.errors import NotFound, UsageError
from agentctl.git.merge import changed
from agentctl.git.objects import EXECUTABLE, FILE, CommitInfo
from agentctl.git.repository import Hub


@dataclass(frozen=True, slots=True)
class Bug:
    """What is written to a file to make the gate fail."""

    path: str
    text: str
    whole: bool
    """Whether the text replaces the file; if not, it is added at the end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One task of a replay: the change from tree `base` to tree `target`."""

    task: str
    base: str
    target: str
    commits: tuple[str, ...]
    bug: Bug | None = None


def commits_of(hub: Hub, words: str) -> tuple[str | None, list[CommitInfo]]:
    """Return (the commit below the range, the first-parent commits of `A..B`, oldest first).

    As in Git, A itself is not part of the range. `A^..B` begins with A, even if A is the very first commit; then
    there is nothing below the range, and the first value is None.
    """
    old, dots, new = words.partition("..")
    if not dots or not old or not new:
        raise UsageError(f"{words!r} is not a range", hint="agentctl replay REPO A..B, or A^..B to begin with A")
    last = hub.commit_of(new)
    below: str | None
    try:
        below = hub.commit_of(old)
    except NotFound:
        if not old.endswith("^"):
            raise
        hub.commit_of(old[:-1])
        below = None
    exclude = ["^" + below] if below else []
    listed = hub.git("rev-list", "--reverse", "--first-parent", last, *exclude).split()
    if below is None:
        first = hub.commit_of(old[:-1])
        if first not in listed:
            raise UsageError(f"{old[:-1]} is not among the first parents of {new}")
        listed = listed[listed.index(first) :]
    if not listed:
        raise UsageError(f"the range {words} is empty", hint="git log --oneline --first-parent " + shlex.quote(words))
    return below, [hub.objects.commit(oid) for oid in listed]


def group(green: Sequence[bool]) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """Return the indexes of the commits of each task, and those left over at the end.

    A commit that the gate finds red joins the ones after it, up to the first green one.
    """
    tasks, pending = [], []
    for index, good in enumerate(green):
        pending.append(index)
        if good:
            tasks.append(tuple(pending))
            pending = []
    return tasks, tuple(pending)


def pieces(commits: Sequence[CommitInfo], tasks: Sequence[tuple[int, ...]], base_tree: str) -> list[Piece]:
    """Return the tasks in order, without those whose commits change nothing together."""
    found, tree = [], base_tree
    for indexes in tasks:
        members = [commits[i] for i in indexes]
        target = members[-1].tree
        if target != tree:
            name = f"{indexes[-1] + 1:04d}-{slug(members[-1].subject, 40) or members[-1].oid[:10]}"
            found.append(Piece(name, tree, target, tuple(m.oid for m in members)))
        tree = target
    return found


def drawn(count: int, seed: int) -> list[int]:
    """Return every index in a random order.

    The first ones are to be bad. The others take the place of those where no bug is found that the gate catches.
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def candidates(piece: Piece, content: Mapping[str, bytes], stays: Collection[str] = ()) -> list[Bug]:
    """Return bugs for a piece, those first that the gate most likely catches.

    They are in the files of `content`, and those in `stays` come first: a later task may land first, and a file that
    it removes would come back with the bug.
    """
    found = []
    for path in sorted(content, key=lambda p: (p not in stays, not p.endswith(".py"), "test" not in p, p)):
        line = f"injected into {piece.task}"
        if path.endswith(".py"):
            found.append(Bug(path, f"\nraise RuntimeError({line!r})\n", False))
        elif b"\0" not in content[path]:
            half = content[path][: len(content[path]) // 2].decode(errors="replace")
            found.append(Bug(path, half + f"\n{line}\n", True))
    return found


def changed_files(hub: Hub, piece: Piece) -> dict[str, bytes]:
    """Return the contents of the ordinary files that a piece writes, by path."""
    return {
        path: hub.objects.blob(oid) for path, mode, oid, _ in changed(hub, piece.base, piece.target) if mode in (FILE, EXECUTABLE)
    }


def modules(hub: Hub, tree: str) -> dict[str, bytes]:
    """Return the contents of the Python files of a tree, by path."""
    return {path: hub.objects.blob(oid) for path, oid in hub.objects.walk(tree) if path.endswith(".py")}


def with_bug(hub: Hub, tree: str, bug: Bug) -> str:
    """Return the tree with a bug in it."""
    before = b"" if bug.whole else hub.objects.read(tree, bug.path) or b""
    return hub.objects.replace(tree, {bug.path: before + bug.text.encode()})


def holds(hub: Hub, tree: str, bug: Bug) -> bool:
    """Tell whether a tree has the bug in it, in whatever folder: a rename takes the bug along."""
    name, text = bug.path.rpartition("/")[2], bug.text.encode()
    return any(hub.objects.blob(oid).endswith(text) for path, oid in hub.objects.walk(tree) if path.rpartition("/")[2] == name)


def save(pieces: Sequence[Piece], path: str) -> None:
    """Write the pieces to a file, from which the agents read what each task is."""
    with open(path, "w") as file:
        json.dump([asdict(piece) for piece in pieces], file)
