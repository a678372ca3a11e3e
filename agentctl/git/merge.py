"""Three-way merges of trees, without a worktree, by `git merge-tree`."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.git.hub import Hub
from agentctl.git.process import run


@dataclass(frozen=True, slots=True)
class Merged:
    tree: str
    """With conflict markers in it where `conflicts` is not empty."""
    conflicts: tuple[str, ...] = ()
    """Paths."""
    messages: str = ""


def merge(hub: Hub, base: str, ours: str, theirs: str) -> Merged:
    """Merge the change from tree `base` to tree `theirs` into tree `ours`.

    `--merge-base` came with Git 2.40; three commits made for the occasion say the
    same to 2.38. Their dates are fixed, so that a merge done twice adds no object.
    """
    if ours == base or theirs == ours:
        return Merged(theirs)
    if theirs == base:
        return Merged(ours)
    objects = hub.objects
    root = objects.write_commit(base, (), "base", 0)
    left = objects.write_commit(ours, (root,), "trunk", 0)
    right = objects.write_commit(theirs, (root,), "change", 0)
    done = run(["merge-tree", "--write-tree", "-z", "--name-only", "--messages", left, right],
               git_dir=hub.git_dir, ok=(0, 1))
    tree, *rest = done.stdout.decode(errors="surrogateescape").split("\0")
    if done.returncode == 0:
        return Merged(tree)
    end = rest.index("")
    return Merged(tree, tuple(dict.fromkeys(rest[:end])), "\n".join(_messages(rest[end + 1 :])))


def _messages(fields: list[str]) -> list[str]:
    """The texts among <count> path... <type> <text> records."""
    found = []
    while fields and fields[0].isdigit():
        count = int(fields[0])
        found.append(fields[count + 2].strip())
        fields = fields[count + 3 :]
    return found


def diff(hub: Hub, old: str, new: str, paths: tuple[str, ...] = (), limit: int = 65536) -> str:
    """A patch from one tree to another, cut at `limit` characters."""
    args = ["diff-tree", "-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", old, new]
    text = hub.git(*args, *(("--", *paths) if paths else ()))
    return text if len(text) <= limit else text[:limit] + "\n... (cut)\n"


def changed(hub: Hub, old: str, new: str) -> list[tuple[str, int, str, str]]:
    """(path, new mode, new object id, status letter) of what differs between two trees.

    The mode is 0 for a deleted path. Renames are a deletion and an addition.
    """
    fields = hub.git("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new).split("\0")
    found = []
    for meta, path in zip(fields[0::2], fields[1::2]):
        _, mode, _, oid, status = meta.split(" ")
        found.append((path, int(mode, 8), oid, status))
    return found
