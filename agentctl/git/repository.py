"""The repository that agentctl manages: how it is found, and which kinds of repositories are refused."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

from agentctl.core import refnames
from agentctl.errors import Infrastructure, NotFound, Refused
from agentctl.git import folders, modes, plain, process, stale_locks
from agentctl.git.ancestry import FirstParents
from agentctl.git.objects import Objects, Person
from agentctl.git.refs import Refs
from agentctl.git.remote import Remote
from agentctl.git.station import Station
from agentctl.messages import quoted

POLICY_PATH = ".agentctl/policy.yaml"


READ_BY_ALL = ("packed-refs", "objects/info/alternates", "objects/info/commit-graph", "info/grafts", "HEAD")


@dataclass(frozen=True)
class Hub:
    """The repository that agentctl manages: its common Git directory, and where agentctl's own files go."""

    git_dir: str
    """The absolute path of the common Git directory."""
    top: str | None
    """The worktree that the caller stands in, or None if there is none, as in a bare repository."""
    agent: str | None = None
    """The name of the agent whose worktree `top` is; None if `top` is not an agent's."""

    @functools.cached_property
    def objects(self) -> Objects:
        return Objects(self.git_dir)

    @functools.cached_property
    def refs(self) -> Refs:
        """The refs of the hub, which may stand on a remote of this repository."""
        return Refs(self.git_dir, self.objects, self.station)

    @functools.cached_property
    def here(self) -> Refs:
        """The refs of this repository itself."""
        return Refs(self.git_dir, self.objects)

    @functools.cached_property
    def station(self) -> Station | None:
        """The station that this repository is, if the hub stands on a remote: `git config agentctl.remote NAME`."""
        name = self.config("agentctl.remote")
        return Station(self.remote(name), lambda: self.config("agentctl.trunk")) if name else None

    def remote(self, name: str) -> Remote:
        """Return the remote of this name, which there may not be."""
        return Remote(self.git_dir, name, self.main_worktree)

    @functools.cached_property
    def line(self) -> FirstParents:
        """The line of trunk's first parents."""
        return FirstParents(self.objects)

    @functools.cached_property
    def place(self) -> str:
        """What the names of the agents here begin with: on a station, what sets them apart from those of other stations."""
        if not self.station:
            return "agent"
        # Machines made from one image have the same names, and folders in the same places.
        digest = hashlib.sha1(f"{socket.gethostname()}:{self.git_dir}:{self.home}".encode()).hexdigest()[:4]
        return self.config("agentctl.station") or f"{refnames.slug(socket.gethostname(), 20) or 'host'}-{digest}"

    @functools.cached_property
    def home(self) -> str:
        """An id of this station, at random, which no other repository has; empty if the hub is this repository itself."""
        if not self.station:
            return ""
        path = self.own_path("station", "id")
        if known := folders.content(path):
            return known.decode("ascii", "replace")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Another process may be as fast, and whoever was killed here has written nothing.
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = os.read(handle, 64)
            if not known:
                known = os.urandom(8).hex().encode()
                os.write(handle, known)
            return known.decode("ascii", "replace")
        finally:
            os.close(handle)

    @property
    def own(self) -> str:
        """The folder of agentctl inside the Git directory, with locks, logs, prompts, and what agentctl knows of worktrees."""
        return os.path.join(self.git_dir, "agentctl")

    def own_path(self, *parts: str) -> str:
        """Return a path under `own`, and make the folder that it is in.

        Nobody else may look into `own`.
        """
        path = os.path.join(self.own, *parts)
        modes.folder(os.path.dirname(path))
        modes.narrow(self.own)
        return path

    @functools.cached_property
    def worktrees(self) -> str:
        """The folder of agents' worktrees and gate slots, beside the repository.

        It lies outside the repository, so that no tool that runs in a worktree picks up the repository's own
        configuration files. `git config agentctl.worktrees DIR` moves it.
        """
        configured = self.config("agentctl.worktrees")
        if configured:
            return os.path.abspath(os.path.join(self.git_dir, os.path.expanduser(configured)))
        base = os.path.dirname(self.git_dir) if os.path.basename(self.git_dir) == ".git" else self.git_dir
        return base.removesuffix(".git") + ".agentctl"

    @functools.cached_property
    def main_worktree(self) -> str | None:
        """The folder of the main worktree, or None if there is none, as in a bare repository."""
        if self.config("core.bare") == "true":
            return None
        configured = self.config("core.worktree")
        if configured:
            return os.path.normpath(os.path.join(self.git_dir, configured))
        return os.path.dirname(self.git_dir) if os.path.basename(self.git_dir) == ".git" else None

    @property
    def mark(self) -> str:
        """The prefix of the mark in the environment of every process that is started for this hub."""
        stat = os.stat(self.git_dir)
        return f"{stat.st_dev:x}.{stat.st_ino:x}/"

    def config(self, key: str) -> str | None:
        return self._configuration.get(key.lower())

    @functools.cached_property
    def _configuration(self) -> dict[str, str]:
        """The hub's own configuration by key; of a key with several values, the last one."""
        listed = process.text(["config", "--list", "-z"], git_dir=self.git_dir).split("\0")
        return {key: value for key, _, value in (entry.partition("\n") for entry in listed if entry)}

    def configure(self, key: str, value: str) -> None:
        self.git("config", key, value)
        self._configuration[key.lower()] = value

    def forget(self) -> None:
        """Forget what follows from the configuration, which has changed."""
        for name in ("refs", "station", "home", "place"):
            self.__dict__.pop(name, None)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """Lend a temporary folder for the context.

        At the end it is removed, with everything beside it whose name begins with its name and a dot. What killed
        processes left is removed first. It can be told from folders in use, because whoever uses such a folder holds
        its lock.
        """
        top = os.path.dirname(self.own_path("scratch", "any"))
        for path in {os.path.join(top, name.partition(".")[0]) for name in os.listdir(top)}:
            if (handle := folders.claim(path)) is not None:
                _remove_scratch(path, handle)
        handle = None
        while handle is None:
            handle = folders.claim(path := os.path.join(top, os.urandom(8).hex()))
        try:
            yield path
        finally:
            _remove_scratch(path, handle)

    def git(self, *args: str, **options: Unpack[process.Options]) -> str:
        """Run Git in the hub and return its standard output.

        A command that asks only for objects, by id or by full names of refs, runs without the hub's configuration.
        """
        self.objects.store.flush()
        if args[0] not in plain.ASKS_OBJECTS:
            return process.text(args, git_dir=self.git_dir, **options)
        names = args.index("--") if "--" in args else len(args)
        asked = [self.refs.get(word) or word if word.startswith("refs/") else word for word in args[:names]]
        return process.decoded(plain.run(self.git_dir, [*asked, *args[names:]], **options))

    def pack(self, tips: Iterable[str], known: Iterable[str]) -> bytes:
        """Return a thin pack of what `tips` reach and the commits `known` do not."""
        self.objects.store.flush()
        asked = "".join(oid + "\n" for oid in (*tips, *("^" + oid for oid in known)))
        words = ["pack-objects", "--stdout", "--thin", "--revs", "--quiet", "--delta-base-offset", "--threads=1"]
        return plain.run(self.git_dir, words, stdin=asked.encode()).stdout

    def descends(self, new: str, old: str) -> bool:
        """Tell whether the commit `new` is the commit `old`, or has it among its ancestors.

        Unlike `rev-list old ^new`, the answer is right whatever the dates of the commits are. Raises GitError for what
        is not a commit.
        """
        self.objects.store.flush()
        return plain.run(self.git_dir, ["merge-base", "--is-ancestor", old, new], ok=(0, 1)).returncode == 0

    def unreached(self, tips: Iterable[str], near: Sequence[str] = ()) -> list[str]:
        """List the commits that `tips` reach and no ref reaches, as far as refs can be read.

        The refs are listed in process, not by Git: first those at or under the prefixes `near`, which in most cases reach
        all, and only if these do not, the others.
        """
        tips = tuple(tips)
        return self._beyond(tips, ["refs/"]) if not near or self._beyond(tips, near) else []

    def _beyond(self, tips: tuple[str, ...], prefixes: Sequence[str]) -> list[str]:
        held = set(self.refs.names(prefixes).oids.values())
        asked = "".join(oid + "\n" for oid in (*tips, *("^" + oid for oid in held)))
        return self.git("rev-list", "--stdin", "--ignore-missing", stdin=asked.encode()).split()

    def commit_of(self, name: str) -> str:
        """Return the id of the commit that a user's word stands for, or raise NotFound."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
        except process.GitError:
            raise NotFound(f"no commit called {name!r}", hint="git log --oneline --all") from None

    def trunk_tip(self, trunk: str) -> str:
        tip = self.refs.get(refnames.branch(trunk))
        if not tip:
            raise NotFound(
                f"there is no branch {trunk!r}, which the policy names as trunk",
                hint="git branch --list, then set `trunk:` in " + POLICY_PATH,
            )
        return tip

    def holds(self, tip: str, oid: str) -> bool:
        """Tell whether the history of the commit `tip` has the commit `oid`, and both exist."""
        with contextlib.suppress(process.GitError):
            return self.descends(tip, oid)
        return False

    def person(self, cwd: str | None = None) -> Person:
        """Return the name and the address in the user's Git configuration, or placeholders for them."""
        where = self.git_dir if self.agent else cwd or self.top or self.git_dir
        name = process.as_user(["config", "user.name"], cwd=where, ok=(0, 1))
        email = process.as_user(["config", "user.email"], cwd=where, ok=(0, 1))
        return Person(name or "unknown", email or "unknown@localhost")

    def sync(self) -> None:
        """Make everything written to the hub's file system durable.

        Git syncs files but never directories: without this, a power cut can undo a ref update that was reported as
        done.
        """
        with self.objects.store.synced():
            if self.station:
                # What counts is that the remote has acknowledged it.
                return
            handle = os.open(self.git_dir, os.O_RDONLY)
            try:
                _syncfs(handle)
            finally:
                os.close(handle)


def _remove_scratch(path: str, handle: int) -> None:
    """Remove what lies beside a scratch folder, and then the folder.

    The folder goes last: as long as it exists, the rest can be found by its name after a kill.
    """
    try:
        for left in folders.beside(path, "."):
            shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)
        shutil.rmtree(path)
    finally:
        os.close(handle)


def _syncfs(handle: int) -> None:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(handle) != 0:
        code = ctypes.get_errno()
        raise Infrastructure(f"the file system of the hub cannot be synced: {os.strerror(code)}")


def find(path: str = ".") -> Hub:
    """Return the hub that `path` lies in.

    Raises NotFound outside a repository, Refused for a kind of repository that is not supported, and Infrastructure if
    Git is too old.
    """
    if not os.path.isdir(path):
        raise NotFound(f"no such folder: {path}", hint="agentctl -C FOLDER ...")
    if process.version() < process.MINIMUM:
        have = ".".join(map(str, process.version()))
        raise Infrastructure(f"Git {have} is too old: `git merge-tree --write-tree` needs 2.38", hint="install a newer Git")
    if found := _of_agent(path):
        _refuse_unsupported(found)
        return found
    try:
        # The path comes last and is not split, because it may have line breaks.
        bare, _, common = process.as_user(
            ["rev-parse", "--path-format=absolute", "--is-bare-repository", "--git-common-dir"], cwd=path
        ).partition("\n")
    except process.GitError as error:
        raise _not_a_hub(path, error) from None
    top = None
    if bare != "true":
        top = process.as_user(["rev-parse", "--show-toplevel"], cwd=path, ok=(0, 128)) or None
    hub = Hub(os.path.realpath(common), top and os.path.realpath(top))
    _refuse_odd_files(hub)
    _join(hub)
    _refuse_unsupported(hub)
    return hub


_REMOTE = re.compile(rb"^remote:[ \t]*[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)


def _join(hub: Hub) -> None:
    """Make a fresh clone a station if the policy that is checked out names one of its remotes for the hub."""
    if (name := apart_from(hub)) and not hub.here.names([refnames.ROOT]).oids:
        stale_locks.retrying(hub.git_dir, lambda: hub.configure("agentctl.remote", name))


def apart_from(hub: Hub) -> str:
    """Return the remote on which the hub stands by the policy that is checked out, if this clone is no station; else nothing."""
    if not hub.top or hub.config("agentctl.remote") is not None:
        return ""
    named = _REMOTE.search(folders.content(os.path.join(hub.top, POLICY_PATH)) or b"")
    name = named[1].decode() if named else ""
    return name if name and name in hub.git("remote").split("\n") else ""


def _of_agent(path: str) -> Hub | None:
    """Return the hub whose agent works in `path`, or None; no Git runs in that folder."""
    from agentctl.git import worktrees

    return worktrees.hub_of(path)


def _not_a_hub(path: str, error: process.GitError) -> Exception:
    if "reftable" in error.stderr or "refstorage" in error.stderr.lower():
        return Refused(
            "this repository stores its refs as a reftable, which agentctl does not support yet",
            hint="git clone --ref-format=files REPO",
        )
    if "not a git repository" in error.stderr:
        return NotFound(f"not inside a Git repository: {os.path.abspath(path)}", hint="git init, or agentctl -C REPO ...")
    return error


def _refuse_odd_files(hub: Hub) -> None:
    """Raise Infrastructure if something else is in the place of a file that every Git reads.

    Every Git would wait for a FIFO there.
    """
    for name in READ_BY_ALL:
        path = os.path.join(hub.git_dir, name)
        if os.path.exists(path) and not os.path.isfile(path):
            raise Infrastructure(f"{path} is not a file", hint=f"mv {quoted(path)} {quoted(path + '.odd')}")


def _refuse_unsupported(hub: Hub) -> None:
    _refuse_odd_files(hub)
    kinds = {
        "extensions.objectformat": ("sha256", "uses SHA-256 object ids"),
        "extensions.refstorage": ("reftable", "stores its refs as a reftable"),
    }
    for key, (value, words) in kinds.items():
        if (hub.config(key) or "").lower() == value:
            raise Refused(
                f"this repository {words}, which agentctl does not support yet",
                hint="use a repository with SHA-1 ids and refs in files",
            )
    if os.path.exists(os.path.join(hub.git_dir, "shallow")) and not (hub.station and hub.station.deepen()):
        raise Refused("this repository is shallow: merges need the whole history", hint="git fetch --unshallow")
