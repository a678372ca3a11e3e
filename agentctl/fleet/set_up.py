"""What `agents.setup` makes in a worktree: no part of any change, and there for each session.

It is excluded from what Git sees as new, for the agent's Git and for ours. If a part of it is gone or changed when the next
session begins, the set-up is run anew; so it is before each session if it puts a link, or the like, in the place of a tracked
file or folder. Where no .gitignore names it, what somebody writes into it is found all the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Sequence

from agentctl.core.tasks.ending import is_litter
from agentctl.core.text.json_form import Struct, dump, load, quoted, unquoted
from agentctl.git import files, folders, modes
from agentctl.git.conversion import SESSION
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import EXCLUDE, Worktree

RECORD = "set-up.json"
LARGEST = 64 << 20
"""Bytes of the largest record that is read. After a larger one, or one that cannot be read, the set-up is run anew."""
HEAD = "# made by agents.setup"
"""The line of info/exclude from which on all is ours."""


class Record(Struct, frozen=True):
    made: tuple[str, ...] = ()
    """The paths that the set-up has made, as `quoted` writes them; so are those of `changed`."""
    changed: dict[str, str] = {}
    """What the set-up has made of files of trunk's, by path: see `files.states`."""
    apart: tuple[str, ...] = ()
    """Those of `made` that are excluded here, and that no .gitignore names."""
    files: dict[str, tuple[int, int]] = {}
    """Size, and time of the last change in nanoseconds, of the files in these, but for litter."""
    on: str = ""
    """The digest of the files from which it was made."""


def note(tree: Worktree, on: Sequence[str] = ()) -> None:
    """Note what the set-up has made, and exclude it. When a file that matches one of the globs `on` changes, it is stale."""
    forget(tree)
    look = tree.look(index="set-up.index")
    files.fresh_index(tree.own("set-up.index"), tree.own("index"))
    session = f"--exclude=/{SESSION}/"
    new = ("-o", "--directory", "--no-empty-directory", session)
    everything = [one.path for one in files.listed(look, *new) if not one.mode]
    seen = [one.path for one in files.listed(look, *new, "--exclude-standard") if not one.mode]
    inner, behind = files.by_folders(look)
    changed = [*(one.path for one in files.listed(look)), *behind]
    made = [path.rstrip("/") for path in everything if not f"{SESSION}/".startswith(path.rstrip("/") + "/")]
    made += [f"{path}/.git" for path in inner]
    states = {quoted(path): state for path, state in files.states(look, changed).items()}
    paths = [path for path in seen if "\n" not in path and path.rstrip("/") in made]
    names = [tuple(map(quoted, listed)) for listed in (made, [path.rstrip("/") for path in paths])]
    folders.replace(tree.own(RECORD), dump(Record(names[0], states, names[1], _files(tree, names[1]), files.digest(look, on))))
    text = "".join(f"{line}\n" for line in [HEAD, *map(_pattern, paths)]) if paths else ""
    folders.replace(tree.own(EXCLUDE), text.encode(errors="surrogateescape"))
    theirs = os.path.join(tree.git_dir, "info", "exclude")
    if folders.identity(os.path.dirname(theirs)):
        before = (folders.content(theirs) or b"").decode(errors="surrogateescape").partition(f"{HEAD}\n")[0]
        folders.remove(theirs)
        modes.write(theirs, before + ("" if before.endswith("\n") or not before else "\n") + text)


def forget(tree: Worktree) -> None:
    """Let nothing be known of an earlier set-up: what that has made is new to Git again."""
    for name in (RECORD, EXCLUDE):
        folders.remove(tree.own(name))


def whole(tree: Worktree) -> bool:
    """Tell whether all is still there that the set-up has made, as far as it is known."""
    known = _record(tree)
    there = known and all(os.path.lexists(os.path.join(tree.path, path)) for path in map(unquoted, known.made))
    return bool(known and there and _files(tree, known.apart) == known.files)


def written_into(tree: Worktree, look: Scratch) -> tuple[str, ...]:
    """Return the files that were written since into what the set-up has made, where no .gitignore names that.

    A file that the index of `look` has is none: somebody has committed it, and it is compared as any other.
    """
    if not (known := _record(tree)):
        return ()
    written = [unquoted(path) for path, state in _files(tree, known.apart).items() if known.files.get(path) != state]
    committed = files.facts(look, set(written))
    return tuple(path for path in written if path not in committed)


def stale(tree: Worktree, on: Sequence[str]) -> bool:
    """Tell whether a file has changed, in what is checked out now, from which the set-up was made."""
    known = _record(tree) if on else None
    return bool(known and known.on not in ("", files.digest(tree.look(), on)))


def unchanged(tree: Worktree, look: Scratch, changed: tuple[str, ...]) -> set[str]:
    """Return those of the changed files of a commit that are as the set-up left them."""
    record = _record(tree)
    known = record.changed if record else {}
    asked = [path for path in changed if quoted(path) in known]
    return {path for path, state in files.states(look, asked).items() if state == known[quoted(path)]}


def _files(tree: Worktree, tops: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return size and time of each plain file at or below some paths, as `Record.files` has them."""
    found = {}
    for top in map(unquoted, tops):
        full = os.path.join(tree.path, top)
        below = (os.path.join(where, name) for where, _, names in folders.walk(full) for name in names)
        for file in below if folders.identity(full) else (full,):
            path = os.path.relpath(file, tree.path)
            with contextlib.suppress(OSError):
                seen = os.lstat(file)
                if stat.S_ISREG(seen.st_mode) and not is_litter(path, lambda part: False):
                    found[quoted(path)] = (seen.st_size, seen.st_mtime_ns)
    return found


def _record(tree: Worktree) -> Record | None:
    """Return the record, an empty one if there is none; None if there is one that cannot be read."""
    if not os.path.lexists(tree.own(RECORD)):
        return Record()
    try:
        return load(Record, folders.content(tree.own(RECORD), LARGEST) or b"")
    except ValueError:
        return None


def _pattern(path: str) -> str:
    """Return the pattern of .gitignore that matches this path alone."""
    return "/" + re.sub(r"([\\*?\[])|( )(?=$)", r"\\\g<0>", path)
