"""What `agents.setup` makes in a worktree: no part of any change, and there for each session.

It is excluded from what Git sees as new, for the agent's Git and for ours. If a part of it is gone when the next session
begins, the set-up is run anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

from agentctl.git import files, folders, modes
from agentctl.git.conversion import SESSION
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import EXCLUDE, Worktree

RECORD = "set-up.json"
LARGEST = 64 << 20
"""Bytes of the largest record that is read; a larger one is none, and so is one that cannot be read."""
NOTHING: dict[str, Any] = {"made": [], "changed": {}, "on": None}
HEAD = "# made by agents.setup"
"""The line of info/exclude from which on all is ours."""


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
    facts = {"made": made, "changed": files.hashes(look, changed), "on": files.digest(look, on)}
    folders.replace(tree.own(RECORD), json.dumps(facts).encode())
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
    return all(os.path.lexists(os.path.join(tree.path, path)) for path in _record(tree)["made"])


def stale(tree: Worktree, on: Sequence[str]) -> bool:
    """Tell whether a file has changed, in what is checked out now, from which the set-up was made."""
    return bool(on) and _record(tree)["on"] not in (None, files.digest(tree.look(), on))


def unchanged(tree: Worktree, look: Scratch, changed: tuple[str, ...]) -> set[str]:
    """Return those of the changed files of a commit that are as the set-up left them."""
    known = _record(tree)["changed"]
    asked = [path for path in changed if path in known]
    return {path for path, oid in files.hashes(look, asked).items() if oid == known[path]}


def _record(tree: Worktree) -> dict[str, Any]:
    found = folders.content(tree.own(RECORD), LARGEST)
    try:
        return dict(NOTHING, **json.loads(found or b"{}"))
    except (TypeError, ValueError):
        return NOTHING


def _pattern(path: str) -> str:
    """Return the pattern of .gitignore that matches this path alone."""
    return "/" + re.sub(r"([\\*?\[])|( )(?=$)", r"\\\g<0>", path)
