"""The crossing: commits of a repository that an agent wrote come to the hub, objects only, in one checked pack.

The agent's objects are read through a scratch directory. Nothing else of the agent's repository counts, and what it
borrows from elsewhere does not count either. The pack is checked as a push would be (`index-pack --strict`: its objects
are well-formed, and nothing that they refer to is missing). It has a `.keep` file until a ref names what it brought, so
that a `git gc --prune=now` in the hub leaves it alone. `git.kept_packs` sweeps such files of processes that were
killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator

from agentctl.errors import Refused
from agentctl.git import folders, modes, process, scratch
from agentctl.git.repository import Hub

LARGEST = 8 << 30
"""Bytes of the largest pack."""
TRIES, PAUSE = 3, 0.3
"""How often commits are tried to be taken over, and the seconds in between."""
COPIED = 64 << 20
"""Bytes of the agent's objects up to which `copy` copies them: it may be asked again and again."""

_PART = re.compile(r"[0-9a-f]{2}|pack")
_NO_OBJECT = "what is in the place of its objects cannot be read: "
HINT = "look into it by hand: nothing in it is deleted"


def alone(objects: str, place: str) -> str:
    """Make a folder of objects at `place` with what the folder `objects` holds itself, without what it borrows.

    Returns `place`. Raises Refused if a part of it cannot be read, or holds something that is not a plain file: Git
    would wait for a FIFO, or follow a link.
    """
    shutil.rmtree(place, ignore_errors=True)
    modes.folder(place)
    try:
        parts = (
            [entry.path for entry in folders.listed(objects) if _PART.fullmatch(entry.name)] if folders.identity(objects) else []
        )
        for part in parts:
            if not folders.identity(part):
                raise Refused(_NO_OBJECT + part, hint=HINT)
            for entry in folders.listed(part):
                if not entry.is_file(follow_symlinks=False):
                    raise Refused(_NO_OBJECT + entry.path, hint=HINT)
            os.symlink(part, os.path.join(place, os.path.basename(part)))
    except OSError as error:
        raise Refused(f"{_NO_OBJECT}{error.filename}: {error.strerror}", hint=HINT) from error
    return place


def commits(scratch_dir: str, objects: str) -> list[str]:
    """List the ids of all commits in a folder of objects that `alone` made, reachable or not."""
    if not any(os.listdir(os.path.join(objects, name)) for name in os.listdir(objects)):
        return []
    scratch.write(scratch_dir)
    listed = scratch.Scratch(scratch_dir, objects).text(
        "cat-file", "--batch-all-objects", "--unordered", "--buffer", "--batch-check=%(objecttype) %(objectname)"
    )
    return [line[7:] for line in listed.splitlines() if line.startswith("commit ")]


@contextlib.contextmanager
def brought(hub: Hub, scratch_dir: str, stores: tuple[str, ...], tips: Iterable[str], known: str) -> Iterator[None]:
    """Bring the commits `tips` into the hub, with all that they need and the hub lacks.

    They stay there in the context; a ref must name them before its end. `stores` are the folders of objects to search,
    and `scratch_dir` is where the scratch directory is made. What the commit `known` reaches is left out. Raises
    Refused for objects that are broken or refer to missing ones.
    """
    wanted = [tip for tip in tips if not hub.objects.exists(tip)]
    if not wanted:
        yield
        return
    kept = _transfer(hub, scratch_dir, stores, wanted, known)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(kept)


def copy(hub: Hub, scratch_dir: str, objects: str, tip: str, known: str, into: str) -> None:
    """Copy the commit `tip` as `brought` does, but into a folder of objects of ours that borrows the hub's.

    The hub gets nothing. Raises Refused for more than COPIED bytes, too.
    """
    size = sum(entry.stat().st_size for part in folders.listed(objects) for entry in folders.listed(part.path))
    if size > COPIED:
        raise Refused(f"its own objects have more than {COPIED >> 20} MiB", hint=HINT)
    _transfer(hub, scratch_dir, (objects,), [tip], known, into)


def _transfer(hub: Hub, scratch_dir: str, stores: tuple[str, ...], tips: list[str], known: str, into: str = "") -> str:
    """Copy the commits into the hub, or `into` another folder, as one pack, and return the path of its `.keep` file.

    What fails is tried again: a `git gc` of the hub may put its packs together at this very moment.
    """
    for attempt in range(TRIES):
        try:
            return _transfer_once(hub, scratch_dir, stores, tips, known, into)
        except process.GitError as error:
            if attempt == TRIES - 1:
                raise Refused(f"commits cannot be taken over: {error.stderr}", hint=HINT) from error
        time.sleep(PAUSE)
    raise AssertionError


def _transfer_once(hub: Hub, scratch_dir: str, stores: tuple[str, ...], tips: list[str], known: str, into: str) -> str:
    objects, packed = os.path.join(hub.git_dir, "objects"), os.path.join(scratch_dir, "crossing")
    shared = hub.config("core.sharedrepository")
    scratch.write(scratch_dir, (("core.sharedrepository", shared),) if shared else ())
    reader = scratch.Scratch(scratch_dir, stores[0], (*stores[1:], objects))
    asked = "\n".join([*tips, "--not", known, ""]).encode()
    try:
        name = reader.text("pack-objects", "--revs", "--quiet", "--delta-base-offset", "--threads=1", packed, stdin=asked)
        said = scratch.Scratch(scratch_dir, into or objects, (objects,) if into else ()).text(
            "index-pack",
            "--stdin",
            "--strict",
            f"--max-input-size={LARGEST}",
            f"--keep=agentctl {os.getpid()}",
            source=f"{packed}-{name}.pack",
        )
    finally:
        for left in folders.beside(packed, "-"):
            os.unlink(left)
    return os.path.join(into or objects, "pack", f"pack-{said.split()[-1]}.keep")
