"""The Git directory of an agent's worktree or of a slot: a private repository that borrows the hub's objects.

It is made anew before each run, or at least proven to be as it was made. So nothing that an earlier run left in it
(configuration, hooks, flags in the index, a rebase, a stash) reaches the next. Afterwards it belongs to whoever ran
there: it is only read, never by Git, and whatever it holds counts as hostile.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.git import conversion, folders, modes, ref_files, scratch
from agentctl.git.repository import Hub

OID = re.compile(r"[0-9a-f]{40}")

UNFINISHED: dict[str, str] = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
    "sequencer": "a cherry-pick",
}
"""What Git keeps in a Git directory while something is under way, and what that is."""

REFS = 10_000
"""How many loose refs are read at most."""

PACKED = 64 << 20
"""Bytes of the largest packed-refs file, or index, that is read."""

STAGE, SKIP_WORKTREE = 0x3000, 0x4000
"""Bits of an index entry (see gitformat-index(5)): its stage, and that its file is kept out of the worktree."""

NO_PUSH = "/agentctl: commit and end the session; the merge queue does the rest"
"""The address of a push from a worktree: it leads nowhere, and Git's error shows it to the agent.

It begins with a slash, or Git would ask a host of that name.
"""


REWRITTEN = ("HEAD", "index", "packed-refs")
"""Files that are written before each run, even if the rest is left as it is."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a Git directory must say when a run begins."""

    commit: str
    branch: str | None
    """The full name of the branch that HEAD is on; None for a detached HEAD."""
    trunk: str
    """The short name of trunk, which becomes a branch and a remote-tracking branch."""
    index: str
    """The index file that is copied."""
    extra: tuple[tuple[str, str], ...] = ()
    """(full name, object id) of further refs."""


def write(hub: Hub, git_dir: str, start: Setup, template: str, made: str) -> str:
    """Make the Git directory at `git_dir` anew in the place of what is there, or bring it up to date.

    It is brought up to date only if it is exactly as an earlier call made it for the hub at this place; `made` is what that call returned.
    `template` is a folder to begin with, if a setup left one.
    """
    if not made or folders.fingerprint(git_dir, REWRITTEN, hub.git_dir) != made:
        _anew(hub, git_dir, template)
    exclude_session(git_dir)
    # Trunk may be deleted at this moment; the gates and sessions that run go on.
    tip = hub.refs.get(refnames.branch(start.trunk)) or start.commit
    listed = {**_tags(hub), **dict(start.extra), f"refs/remotes/origin/{start.trunk}": tip}
    if not (start.branch or "").startswith(f"refs/heads/{start.trunk}/"):
        listed[f"refs/heads/{start.trunk}"] = tip
    if start.branch:
        listed[start.branch] = start.commit
    _put(os.path.join(git_dir, "packed-refs"), "".join(f"{oid} {name}\n" for name, oid in sorted(listed.items())))
    _put(os.path.join(git_dir, "HEAD"), f"ref: {start.branch}\n" if start.branch else start.commit + "\n")
    # The copy keeps the date, by which Git knows which entries to look at twice.
    shutil.copy2(start.index, os.path.join(git_dir, "index"))
    return folders.fingerprint(git_dir, REWRITTEN, hub.git_dir)


def exclude_session(git_dir: str) -> None:
    """Exclude the folder of a session also where a setup, or an older version, made the Git directory."""
    path = os.path.join(git_dir, "info", "exclude")
    if os.path.lexists(os.path.dirname(path)) and not folders.identity(os.path.dirname(path)):
        return
    text = (folders.content(path) or b"").decode(errors="surrogateescape")
    if (wanted := conversion.with_session(text)) != text:
        modes.folder(os.path.dirname(path))
        folders.remove(path)
        _put(path, wanted)


def _anew(hub: Hub, git_dir: str, template: str) -> None:
    folders.remove(git_dir)
    if os.path.isdir(template):
        shutil.copytree(template, git_dir, symlinks=True, copy_function=_linked)
        for name in ("refs/heads", "refs/remotes"):
            shutil.rmtree(os.path.join(git_dir, name), ignore_errors=True)
        return
    settled = [
        (key, value)
        for key, value in conversion.settings(hub)
        if conversion.OF_THE_HUB.fullmatch(key) and not key.startswith("remote.")
    ]
    settings = (
        ("core.repositoryformatversion", "0"),
        ("core.filemode", "true"),
        ("core.bare", "false"),
        ("core.logallrefupdates", "true"),
        ("commit.gpgsign", "false"),
        ("tag.gpgsign", "false"),
        *settled,
        ("remote.origin.url", hub.git_dir),
        ("remote.origin.pushurl", NO_PUSH),
        ("remote.origin.fetch", f"+{hub.refs.local('refs/heads/')}*:refs/remotes/origin/*"),
    )
    for folder in ("objects/info", "refs", "info"):
        modes.folder(os.path.join(git_dir, folder))
    own, theirs = (os.path.join(os.path.realpath(one), "objects") for one in (git_dir, hub.git_dir))
    # By the relative path both repositories can be moved together; GitPython, and so aider, knows absolute ones only.
    lent = "".join(scratch.quoted(path) + "\n" for path in (theirs, os.path.relpath(theirs, own)))
    _put(os.path.join(git_dir, "objects/info/alternates"), lent)
    _put(os.path.join(git_dir, "config"), conversion.encoded(settings))
    for name in ("exclude", "attributes"):
        if text := conversion.info(hub, name):
            _put(os.path.join(git_dir, "info", name), text)


def keep(git_dir: str, template: str) -> None:
    """Copy a Git directory to `template`, with which the next one begins."""
    folders.remove(template)
    shutil.copytree(git_dir, template, symlinks=True, copy_function=_linked)


def _linked(source: str, copy: str) -> None:
    """Copy a file; an object only gets a second name, because objects never change."""
    if f"{os.sep}objects{os.sep}" in source:
        try:
            return os.link(source, copy, follow_symlinks=False)
        except OSError:
            pass
    shutil.copy2(source, copy, follow_symlinks=False)


def _tags(hub: Hub) -> dict[str, str]:
    """Return the hub's tags, because many projects get their version from them."""
    return ref_files.names(hub.git_dir, ["refs/tags/"]).oids


def _put(path: str, text: str) -> None:
    with open(path, "w", errors="surrogateescape", opener=modes.opener) as file:
        file.write(text)


# From here on: what somebody else may have written. It is read, but not trusted.


def refs(git_dir: str) -> dict[str, str]:
    """Return the object ids by full name of ref, as far as they can be read."""
    return dict(_every_ref(git_dir))


def head(git_dir: str) -> tuple[str | None, str | None]:
    """Return (commit id, full name of the branch) that HEAD is at; None for what HEAD does not tell."""
    name, branch = "HEAD", None
    for _ in range(5):
        said = _text(os.path.join(git_dir, name))
        if said.startswith("ref: refs/") and ".." not in said:
            name = said.removeprefix("ref: ")
            branch = branch or name
            continue
        if name != "HEAD" and not OID.fullmatch(said):
            said = dict(_packed(git_dir)).get(name, "")
        return (said, branch) if OID.fullmatch(said) else (None, branch)
    return None, branch


def unfinished(git_dir: str) -> str:
    """Return what is under way in a worktree by Git's own files, such as "a rebase"; empty if nothing is."""
    return next((what for name, what in UNFINISHED.items() if os.path.lexists(os.path.join(git_dir, name))), "")


def _every_ref(git_dir: str) -> Iterator[tuple[str, str]]:
    yield from _packed(git_dir)
    count = 0
    for where, _, names in folders.walk(os.path.join(git_dir, "refs")):
        for name in names:
            count += 1
            if count > REFS:
                return
            said = _text(os.path.join(where, name))
            if OID.fullmatch(said):
                yield os.path.relpath(os.path.join(where, name), git_dir), said


def _packed(git_dir: str) -> Iterator[tuple[str, str]]:
    data = folders.content(os.path.join(git_dir, "packed-refs"), PACKED) or b""
    for line in data.decode(errors="surrogateescape").split("\n"):
        oid, _, name = line.partition(" ")
        if OID.fullmatch(oid) and name.startswith("refs/"):
            yield name, oid


def _text(path: str) -> str:
    return (folders.content(path) or b"").decode(errors="replace").strip()


def repository(top: str, path: str) -> str | None:
    """Return the Git directory of the repository whose files are in the folder `path`, or None.

    It is `.git` in that folder, or what a file `.git` there names. It must be a folder below `top` that is reached
    through no link.
    """
    entry = os.path.join(path, ".git")
    said = _text(entry)
    if said.startswith("gitdir: "):
        entry = os.path.normpath(os.path.join(path, said.removeprefix("gitdir: ")))
    below = entry.startswith(top + os.sep) and os.path.realpath(entry) == os.path.join(
        os.path.realpath(top), entry[len(top) + 1 :]
    )
    return entry if below and folders.identity(entry) and folders.identity(os.path.join(entry, "objects")) else None


@dataclass(frozen=True, slots=True)
class Flags:
    """What an index says of its paths."""

    unmerged: bool = False
    absent: frozenset[str] = frozenset()
    """Paths that a sparse checkout keeps out of the files."""


def flags(git_dir: str) -> Flags:
    """Return what the index in a Git directory says; nothing if it cannot be read."""
    from dulwich.index import read_index

    data = folders.content(os.path.join(git_dir, "index"), PACKED)
    unmerged, absent = False, set[str]()
    try:
        # One entry at a time: many sessions may end at once, each with an index of many files.
        for entry in read_index(io.BytesIO(data)) if data else ():
            unmerged = unmerged or bool(entry.flags & STAGE)
            if entry.extended_flags & SKIP_WORKTREE:
                absent.add(os.fsdecode(entry.name))
    except Exception:
        # Hostile bytes raise exceptions of many types.
        return Flags()
    return Flags(unmerged, frozenset(absent))
