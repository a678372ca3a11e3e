"""What `agents.setup` makes in a worktree: no part of any change, and there for each session.

It is excluded from what Git sees as new, for the agent's Git and for ours. If a part of it is gone when the next session
begins, the set-up is run anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from agentctl.core.text.json_form import Oid, Struct, dump, load, quoted, unquoted
from agentctl.git import files, folders, modes
from agentctl.git.conversion import SESSION
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import EXCLUDE, Worktree

RECORD = "set-up.json"
LARGEST = 64 << 20
"""Bytes of the largest record that is read; a larger one is none, and so is one that cannot be read."""
HEAD = "# made by agents.setup"
"""The line of info/exclude from which on all is ours."""


class Record(Struct, frozen=True):
    made: tuple[str, ...] = ()
    """The paths that the set-up has made, as `quoted` writes them."""
    changed: dict[str, Oid] = {}
    """The ids of the files of trunk's that it has changed, as blobs, by path."""
    on: str = ""
    """The digest of the files from which it was made; empty if none was taken."""


def note(tree: Worktree, on: Sequence[str] = ()) -> None:
    """Note what the set-up has made, and exclude it; by a change of the files that match the globs `on` it is stale."""
    look = tree.look(index="set-up.index")
    files.fresh_index(tree.own("set-up.index"), tree.own("index"))
    session = f"--exclude=/{SESSION}/"
    everything = [one.path for one in files.listed(look, "-o", "--directory", "--no-empty-directory", session)]
    new = [one.path for one in files.listed(look, "-o", "--directory", "--no-empty-directory", session, "--exclude-standard")]
    changed = [one.path for one in files.listed(look) if not one.gone]
    made = [path.rstrip("/") for path in everything if not SESSION.startswith(path.rstrip("/"))]
    made += [f"{path}/.git" for path in files.submodules(look)]
    ids = {quoted(path): oid for path, oid in files.hashes(look, changed).items()}
    folders.replace(tree.own(RECORD), dump(Record(tuple(map(quoted, made)), ids, files.digest(look, on))))
    paths = [path for path in new if "\n" not in path and path.rstrip("/") in made]
    text = "".join(f"{line}\n" for line in [HEAD, *map(_pattern, paths)]) if paths else ""
    folders.replace(tree.own(EXCLUDE), text.encode(errors="surrogateescape"))
    theirs = os.path.join(tree.git_dir, "info", "exclude")
    if folders.identity(os.path.dirname(theirs)):
        before = (folders.content(theirs) or b"").decode(errors="surrogateescape").partition(f"{HEAD}\n")[0]
        folders.remove(theirs)
        modes.write(theirs, before + ("" if before.endswith("\n") or not before else "\n") + text)


def forget(tree: Worktree) -> None:
    for name in (RECORD, EXCLUDE):
        folders.remove(tree.own(name))


def whole(tree: Worktree) -> bool:
    """Tell whether all is still there that the set-up has made."""
    return all(os.path.lexists(os.path.join(tree.path, path)) for path in map(unquoted, _record(tree).made))


def stale(tree: Worktree, on: Sequence[str]) -> bool:
    """Tell whether a file has changed, in what is checked out now, from which the set-up was made."""
    return bool(on) and _record(tree).on not in ("", files.digest(tree.look(), on))


def unchanged(tree: Worktree, look: Scratch, changed: tuple[str, ...]) -> set[str]:
    """Return those of the changed files of a commit that are as the set-up left them."""
    known = _record(tree).changed
    asked = [path for path in changed if quoted(path) in known]
    return {path for path, oid in files.hashes(look, asked).items() if oid == known[quoted(path)]}


def _record(tree: Worktree) -> Record:
    found = folders.content(tree.own(RECORD), LARGEST)
    try:
        return load(Record, found) if found else Record()
    except ValueError:
        return Record()


def _pattern(path: str) -> str:
    """Return the pattern of .gitignore that matches this path alone."""
    return "/" + re.sub(r"([\\*?\[])|( )(?=$)", r"\\\g<0>", path)
