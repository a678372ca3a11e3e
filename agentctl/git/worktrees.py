"""Worktrees that agentctl makes: an agent works in one; a gate runs in one, which is called a slot.

Each is a folder beside the hub with a private Git directory (`git.private_repository`). What agentctl knows of it lies in the
hub's Git directory, where whoever runs in the folder has nothing to write:

    agentctl/worktrees/<kind>/<name>/record.json    which folder it is, and whether it may hold work
                                     index          what was checked out there
                                     template/      its Git directory as a setup left it
                                     ready, setup   that an agent's, or a slot's, setup has run

The folder is looked into through that index and a scratch directory, never through its own Git directory.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from dataclasses import dataclass
from enum import StrEnum

from agentctl.core.text.json_form import Struct, dump, load, replace
from agentctl.core.text.printable import printable
from agentctl.errors import Infrastructure, Refused
from agentctl.git import conversion, fifos, folders, modes, private_repository, scratch
from agentctl.git.files import ListedFile, by_folders, listed, only_converted
from agentctl.git.folders import Identity
from agentctl.git.merge import changed
from agentctl.git.objects import FILE, GITLINK, TREE, ObjectError
from agentctl.git.process import GitError
from agentctl.git.repository import Hub

AGENTS, SLOTS, ASIDE = "agents", "slots", "aside"
EXCLUDE = "exclude"
"""The file, beside the record of a worktree, with more patterns of files that are no work, as in .gitignore."""
READY, SETUP, TEMPLATE = "ready", "setup", "template"
MARKER = "hub"
"""The name of a file beside the folders that names the hub's Git directory."""
PLACE = "worktrees.at"
"""The name of a file in the hub's own folder that names the folder of worktrees."""
TRIES = 3


class NotLaidOut(Infrastructure):
    """the files of {path} cannot be made those of {commit}: {name}"""  # noqa: D400, D415

    hint = "see who owns that file; the folder may be deleted"


class Condition(StrEnum):
    MADE = "made"
    """It holds what agentctl put there, perhaps only a part."""
    GIVEN = "given"
    """Somebody ran in it, so it may hold work."""
    GOING = "going"
    """Its work is safe, and it is being removed."""


class WorktreeRecord(Struct, frozen=True):
    device: int
    inode: int
    state: Condition
    base: str = ""
    """The commit that was checked out."""
    git: str = ""
    """A fingerprint of its Git directory as it was made; it tells whether that has changed."""
    content: str = ""
    """A digest of the settings by which it was checked out."""
    whole: str = ""
    """The commit that holds its uncommitted files as they were last seen."""

    @property
    def identity(self) -> Identity:
        return Identity(self.device, self.inode)


@dataclass(frozen=True, slots=True)
class Worktree:
    hub: Hub
    kind: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.hub.worktrees, self.kind, self.name)

    @property
    def git_dir(self) -> str:
        return os.path.join(self.path, ".git")

    def own(self, *parts: str) -> str:
        """Return a path below the folder that holds what agentctl knows of the worktree, or that folder."""
        return os.path.join(self.hub.own, "worktrees", self.kind, self.name, *parts)

    @property
    def record(self) -> WorktreeRecord | None:
        data = folders.content(self.own("record.json"))
        try:
            return load(WorktreeRecord, data) if data else None
        except ValueError:
            return None

    def note(self, record: WorktreeRecord) -> None:
        modes.folder(self.own())
        folders.replace(self.own("record.json"), dump(record))

    @property
    def there(self) -> bool:
        """True if the folder at its path is the one that was recorded."""
        record = self.record
        return bool(record and folders.identity(self.path) == record.identity)

    def look(self, objects: str | None = None, borrowed: tuple[str, ...] = (), index: str = "index") -> scratch.Scratch:
        """Return the scratch directory through which the files are seen."""
        store, said = os.path.join(self.hub.git_dir, "objects"), folders.content(self.own(EXCLUDE))
        return scratch.for_files(
            self.hub,
            self.own("scratch"),
            self.path,
            self.own(index),
            objects or store,
            (*borrowed, store) if objects else borrowed,
            scratch.PRIVATE,
            {"exclude": conversion.info(self.hub, "exclude") + said.decode(errors="surrogateescape")} if said else None,
        )


def known(hub: Hub, kind: str) -> list[str]:
    """List the names of the worktrees of a kind: those recorded, and whatever else is in their folder."""
    found: set[str] = set()
    for folder in (os.path.join(hub.own, "worktrees", kind), os.path.join(hub.worktrees, kind)):
        with contextlib.suppress(OSError):
            found.update(os.listdir(folder))
    return sorted(found)


def make(tree: Worktree) -> None:
    """Make the folder of a worktree, if it does not exist; what stands in its place is moved aside."""
    finish(tree)
    follow(tree.hub)
    if tree.there:
        return
    with contextlib.suppress(OSError):
        os.rmdir(tree.path)
    if os.path.lexists(tree.path):
        set_aside(tree)
    _mark(tree.hub)
    _forget(tree)
    made = folders.make(tree.path)
    tree.note(WorktreeRecord(made.device, made.inode, Condition.MADE))


def finish(tree: Worktree) -> None:
    """Finish a removal that was interrupted."""
    record = tree.record
    if record and record.state is Condition.GOING:
        remove(tree)


def set_aside(tree: Worktree) -> str:
    """Move what stands at a worktree's path to a folder where nothing is deleted, and return its new path.

    This is for what is not known, or not safe to delete.
    """
    return folders.set_aside(tree.path, os.path.join(tree.hub.worktrees, ASIDE))


def follow(hub: Hub) -> None:
    """Have the folder of worktrees where it belongs, if the repository was moved or renamed, with that folder or without it.

    What a setup made may name the old place, so it is made anew. A folder that another repository calls its own stays there.
    """
    old = os.fsdecode(folders.content(hub.own_path(PLACE)) or b"").rstrip("\n")
    here = hub.worktrees if os.path.lexists(hub.worktrees) or not old else old
    theirs = os.fsdecode(folders.content(os.path.join(here, MARKER)) or b"").rstrip("\n")
    if not theirs or os.path.lexists(theirs):
        return
    for tree in (Worktree(hub, kind, name) for kind in (AGENTS, SLOTS) for name in known(hub, kind)):
        for name in (READY, SETUP, TEMPLATE):
            folders.remove(tree.own(name))
    with contextlib.suppress(OSError):
        if here != hub.worktrees:
            os.rename(here, hub.worktrees)
        _mark(hub)


def _mark(hub: Hub) -> None:
    """Write down in the folder of worktrees whose it is, and in the repository where it is."""
    if folders.content(hub.own_path(PLACE)) != (place := os.fsencode(hub.worktrees) + b"\n"):
        folders.replace(hub.own_path(PLACE), place)
    said = os.fsencode(hub.git_dir) + b"\n"
    for _ in range(TRIES):
        # Somebody else may remove an empty folder at this very moment.
        with contextlib.suppress(FileNotFoundError):
            modes.folder(hub.worktrees)
            path = os.path.join(hub.worktrees, MARKER)
            if folders.content(path) != said:
                folders.replace(path, said)
            return


def check_out(tree: Worktree, commit: str, keep: tuple[str, ...] = (), ignored: bool = True) -> bool:
    """Make the files of a worktree those of `commit`, prove it, and tell whether submodules were emptied.

    Everything else is removed, also ignored files unless `ignored` is False, but not what `keep` matches (patterns as
    in .gitignore). If submodules were emptied, a setup must fill them.

    Raises GitError, and NotLaidOut if the files cannot be made so.
    """
    record, settings = tree.record, conversion.digest(tree.hub)
    assert record and tree.there, tree.path
    if record.content != settings or not _same_attributes(tree.hub, record.base, commit):
        # The same blob may now become another file, and Git would leave the old file there.
        folders.remove(tree.own("index"))
    tree.note(replace(record, state=Condition.MADE, base=commit, content=settings))
    look = tree.look()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(tree.own("index.lock"))
    emptied = _empty_submodules(tree, look)
    _settle(tree, commit)
    wrong = _made(tree, look, commit, keep, ignored)
    if wrong:
        raise NotLaidOut(path=tree.path, commit=commit[:12], name=printable(wrong[0].path))
    return emptied


def _made(tree: Worktree, look: scratch.Scratch, commit: str, keep: tuple[str, ...], ignored: bool) -> list[ListedFile]:
    """Make the files, and return what is still wrong."""
    wrong = [ListedFile("", FILE)]
    for attempt in range(TRIES):
        try:
            if any(entry.mode for entry in wrong):
                look.run("read-tree", "--reset", "-u", commit)
            if any(not entry.mode for entry in wrong):
                look.run("clean", "-ffdxq" if ignored else "-ffdq", *(word for pattern in keep for word in ("-e", pattern)))
            if not (wrong := _differing(look, keep, ignored)):
                break
        except GitError:
            if attempt == TRIES - 1:
                raise
            folders.permit(tree.path)
    return wrong


def _same_attributes(hub: Hub, old: str, new: str) -> bool:
    """Tell whether no `.gitattributes` differs between two commits; False if that cannot be told."""
    try:
        return all(os.path.basename(path) != ".gitattributes" for path, *_ in changed(hub, old, new))
    except ObjectError:
        return False


def _differing(look: scratch.Scratch, keep: tuple[str, ...], ignored: bool) -> list[ListedFile]:
    """List what in the folder differs from its index or is not in the index."""
    excluded = [f"--exclude={pattern}" for pattern in keep] + ([] if ignored else ["--exclude-standard"])
    found = [entry for entry in listed(look, "-o", "--directory", "--no-empty-directory", *excluded) if entry.mode != GITLINK]
    same = only_converted(look, [entry for entry in found if entry.mode])
    return [entry for entry in found if entry.path not in same]


def _empty_submodules(tree: Worktree, look: scratch.Scratch) -> bool:
    """Remove the files of submodules, which a run may have changed, and tell whether there were any."""
    full = by_folders(look)[0] if os.path.exists(tree.own("index")) else []
    for path in full:
        folders.drop(tree.path, path)
    return bool(full)


def _settle(tree: Worktree, commit: str) -> None:
    """Give folders back the permissions that a run took from them, and remove what would mislead Git.

    These are FIFOs, sockets and devices: Git sees neither of them, and whoever opens a FIFO may wait for ever. They are also
    links where `commit` has a folder: Git takes what it finds through one for the files of that folder.
    """
    os.chmod(tree.path, 0o700)
    for path, entry in folders.entries(tree.path):
        if entry.is_dir(follow_symlinks=False):
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
            if mode & 0o700 != 0o700:
                os.chmod(entry.path, mode | 0o700)
            if entry.name == fifos.REPOSITORY and entry.name != path:
                fifos.clear(entry.path)
        elif entry.is_symlink():
            with contextlib.suppress(ObjectError):
                if (there := tree.hub.objects.at(tree.hub.objects.tree_of(commit), path)) and there[0] == TREE:
                    folders.drop(tree.path, path)
        elif not entry.is_file(follow_symlinks=False):
            fifos.remove(entry.path)
            folders.drop(tree.path, path)


def give(tree: Worktree, trunk: str, branch: str | None, extra: dict[str, str] | None = None) -> None:
    """Make the Git directory of a worktree, with HEAD on `branch` at what is checked out.

    From now on, the worktree may hold work.
    """
    record = tree.record
    assert record, tree.path
    start = private_repository.Setup(record.base, branch, trunk, tree.own("index"), tuple((extra or {}).items()))
    made = private_repository.write(tree.hub, tree.git_dir, start, tree.own(TEMPLATE), record.git)
    tree.note(replace(record, state=Condition.GIVEN, git=made))


def keep_template(tree: Worktree) -> None:
    """Keep the Git directory as the setup left it: the next Git directory begins with it."""
    private_repository.exclude_session(tree.git_dir)
    private_repository.keep(tree.git_dir, tree.own(TEMPLATE))


def remove(tree: Worktree) -> None:
    """Remove the folder of a worktree whose work is safe, and what is known of the worktree.

    A folder that is not the recorded one is left.
    """
    record = tree.record
    if record:
        tree.note(replace(record, state=Condition.GOING))
        folders.discard(tree.path, _trash(tree, record), record.identity)
    _forget(tree)
    tidy(tree.hub)


def _trash(tree: Worktree, record: WorktreeRecord) -> str:
    return os.path.join(tree.hub.worktrees, "trash", f"{tree.kind}-{tree.name}-{record.inode}")


def _forget(tree: Worktree) -> None:
    """Delete what is known of a worktree, the record last."""
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(tree.own()), key=lambda name: name == "record.json"):
            folders.remove(tree.own(name))
        os.rmdir(tree.own())


def tidy(hub: Hub) -> None:
    """Remove the folders of worktrees as far as they are empty."""
    for name in (AGENTS, SLOTS, "trash", ASIDE):
        for folder in (os.path.join(hub.worktrees, name), os.path.join(hub.own, "worktrees", name)):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    with contextlib.suppress(OSError):
        if all(name == MARKER or name.startswith(MARKER + ".") for name in os.listdir(hub.worktrees)):
            for name in os.listdir(hub.worktrees):
                os.unlink(os.path.join(hub.worktrees, name))
            try:
                os.rmdir(hub.worktrees)
            except OSError:
                # Somebody is making a worktree at this moment.
                _mark(hub)


def hub_of(path: str) -> Hub | None:
    """Return the hub whose agent has `path` in its worktree, whatever that contains, or None.

    The file beside the folders names the hub, and the hub's record of that very folder confirms it. Raises Refused for
    a folder that exists and is not confirmed: its repository is a private one, and never a hub.
    """
    top = os.path.realpath(path)
    while top != (above := os.path.dirname(top)):
        place, kind = os.path.split(above)
        said = folders.content(os.path.join(place, MARKER)) if kind in (AGENTS, SLOTS, ASIDE) else None
        if said and said.startswith(b"/") and not _nested(top, path):
            return _confirmed(top, kind, place, os.fsdecode(said).removesuffix("\n"))
        top = above
    return None


def _confirmed(top: str, kind: str, place: str, said: str) -> Hub:
    beside = place.removesuffix(".agentctl")
    # A hub may have been moved together with its worktrees.
    for git_dir in (said, os.path.join(beside, ".git"), beside + ".git", beside):
        hub = Hub(git_dir, top, os.path.basename(top))
        if kind == AGENTS and os.path.isfile(os.path.join(git_dir, "HEAD")) and of_agent(hub, hub.agent or "").there:
            return hub
    known = os.path.isdir(said)
    raise Refused(
        f"{top} is not a worktree of {said}" + ("" if known else ", which is not there any more"),
        hint=f"agentctl -C {shlex.quote(said)} ps" if known else "agentctl -C REPO ps, where the repository is now",
    )


def _nested(top: str, path: str) -> bool:
    """Tell whether `path` is in a repository that lies below `top`."""
    here = os.path.realpath(path)
    while here != top:
        if os.path.lexists(os.path.join(here, ".git")):
            return True
        here = os.path.dirname(here)
    return False


def of_agent(hub: Hub, name: str) -> Worktree:
    return Worktree(hub, AGENTS, name)


def slot(hub: Hub, number: int | str) -> Worktree:
    return Worktree(hub, SLOTS, str(number))
