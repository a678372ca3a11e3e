"""A remote of this repository on which a hub stands: one fetch, one push, and what its answers mean.

Git is run as the user would run it, with the user's configuration: it alone knows how the remote is reached, and with which
key. No hook of this repository runs, and nobody is asked for a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.text.printable import printable
from agentctl.errors import Infrastructure, Timeout
from agentctl.git import lfs, process, stale_locks
from agentctl.git.process import GitError
from agentctl.git.transactions import Move

LIMIT, LONGEST = 300.0, 6 * 3600.0
"""The seconds that one fetch or push may take, and one that brings all that there is. Git itself notices that a link is dead."""
SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
"""How ssh is called unless the user says it: it asks nothing, and notices that a link is dead."""
_SETTINGS = ("core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "http.lowSpeedLimit=1", "http.lowSpeedTime=60")


class Away(Infrastructure):
    """the remote {remote} cannot be reached: {said}"""  # noqa: D400, D415

    code = "away"
    hint = "git ls-remote {remote}"


class NoUpload(Away):
    """large files cannot be uploaded to {remote}: {said}"""  # noqa: D400, D415

    # Git may reach the remote all the same: large files often have a server of their own.

    hint = "git lfs env"


class Declined(Infrastructure):
    """the remote {remote} declines {ref}: {said}"""  # noqa: D400, D415

    # It is the remote's own rule: a protected branch, a hook, a quota, rights.

    code = "declined"
    hint = "ask whoever looks after {remote}; nothing is lost, and the same command may be run again"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of a push; with nothing in it, it did what it was to do."""

    contended: str = ""
    """A ref that somebody else moved first."""
    declined: str = ""
    """A ref that the remote does not take."""
    unknown: bool = False
    """True if the connection ended without an answer."""
    said: str = ""
    """What the remote or Git said."""


CONTENDED = re.compile(
    r"stale info|fetch first|non-fast-forward|already exists|needs force|failed to update ref|failed to lock|cannot lock|"
    r"incorrect old value|reference already exists|unable to resolve|but expected|missing necessary objects"
)
"""What Git says of a ref that is not, or no longer, as the push expects it."""
FOLLOWS = re.compile(r"atomic")
"""What Git says of a ref that is not moved because another one is not."""
BROKEN = re.compile(r"remote failure|failed to report status|unexpected disconnect|remote end hung up")
"""What Git says if the connection broke before the answer came."""


def parse(out: str, err: str) -> Pushed:
    """Return what came of a push that failed, by what `git push --porcelain` printed."""
    refused = {}
    for line in out.splitlines():
        flag, _, rest = line.partition("\t")
        refs, _, summary = rest.partition("\t")
        if flag == "!":
            refused[refs.rpartition(":")[2]] = summary
    if not refused and "atomic" in err:
        return Pushed(declined=refnames.ROOT, said="it cannot move several refs at once (no atomic push)")
    causes = {ref: why for ref, why in refused.items() if not FOLLOWS.search(why)}
    if any(BROKEN.search(why) for why in refused.values()):
        return Pushed(unknown=True, said=words(err))
    if contended := next((ref for ref, why in causes.items() if CONTENDED.search(why)), ""):
        return Pushed(contended=contended, said=causes[contended])
    if declined := next((ref for ref in causes if ref.startswith("refs/heads/")), next(iter(causes), "")):
        return Pushed(declined=declined, said=words(err) or causes[declined])
    # Each ref is refused only since others are: another push was in between.
    return (
        Pushed(contended=next(iter(refused)), said=words(err) if "remote:" in err else "another push was first")
        if refused
        else Pushed(unknown=True, said=words(err))
    )


_OF_SSH = re.compile(r"Permission denied|Host key verification failed|HAS CHANGED!|host key is known for")
"""What ssh says, without its name before it, of a key or a host that is not the right one."""


def words(err: str) -> str:
    """Return the remote's own words from what Git printed; if there are none, Git's error."""
    said = [line.removeprefix("remote:").strip() for line in err.splitlines() if line.startswith("remote:")]
    lines = err.splitlines()
    # A line that ends with a colon is gone on with in the next one.
    told = [
        line
        for before, line in zip(["", *lines], lines)
        if line.startswith(("fatal:", "error:", "ssh:", "ERROR:")) or before.endswith(":") or _OF_SSH.search(line)
    ]
    said = said or told or lines
    return printable("; ".join(filter(None, (re.sub(r"\s+", " ", line).strip() for line in said))), 600)


@dataclass(frozen=True, slots=True)
class Remote:
    git_dir: str
    name: str
    """The name of a remote in the configuration of this repository."""
    top: str | None = None
    """The folder of the main worktree; None if there is none."""

    @property
    def cwd(self) -> str:
        """The folder in which Git is called: from there a relative path to the remote leads where it leads the user."""
        return self.top if self.top and os.path.isdir(self.top) else self.git_dir

    @property
    def url(self) -> str:
        """Where the remote is fetched from; a path is absolute."""
        url = process.as_user(["ls-remote", "--get-url", self.name], cwd=self.cwd, env={"GIT_DIR": self.git_dir})
        path = os.path.normpath(os.path.join(self.cwd, url))
        return path if os.path.exists(path) else url

    def fetch(self, refspecs: Sequence[str], limit: float = LIMIT) -> None:
        """Bring what the refspecs name, and delete here what is no longer there; raise Away, or NoSuchRef.

        If it takes longer than `limit` seconds, a Timeout is the cause of Away.
        """
        options = ("--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules", "--refmap=")
        try:
            words = ("fetch", "--quiet", "--prune", *options, self.name, *refspecs)
            stale_locks.retrying(self.git_dir, lambda: self._git(*words, limit=limit))
        except (Timeout, GitError) as error:
            if isinstance(error, GitError) and "couldn't find remote ref" in error.stderr:
                raise NoSuchRef(error.stderr) from error
            raise self._away(error) from error

    def deepen(self) -> None:
        """Bring the history that a shallow clone lacks; raise Away."""
        try:
            options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
            self._git("fetch", "--quiet", "--unshallow", *options, self.name, limit=LONGEST)
        except (Timeout, GitError) as error:
            raise self._away(error) from error

    def refs(self, patterns: Sequence[str]) -> dict[str, str]:
        """Return the object id of each ref of the remote that one of the patterns matches, by name; raise Away."""
        try:
            listed = self._git("ls-remote", "--refs", self.name, *patterns)
        except (Timeout, GitError) as error:
            raise self._away(error) from error
        return {name: oid for oid, _, name in (line.partition("\t") for line in listed.splitlines()) if name}

    def upload(self, moves: Sequence[Move]) -> None:
        """Upload the large files that a push of these moves needs at the remote; raise NoUpload."""
        new, old = ([oid for move in moves if (oid := getattr(move, end))] for end in ("new", "old"))
        try:
            lfs.upload(self.git_dir, self.cwd, self.name, new, old)
        except (GitError, Timeout) as error:
            raise NoUpload(remote=self.name, said=_said(error)) from error

    def push(self, moves: Iterable[Move], limit: float = LIMIT) -> Pushed:
        """Carry out moves of the remote's refs, all or none; return an empty Pushed if it is done.

        Large files are not uploaded.
        """
        leases, refspecs = [], []
        for move in moves:
            leases.append(f"--force-with-lease={move.ref}:{move.old or ''}")
            refspecs.append(f"{move.new or ''}:{move.ref}")
        try:
            options = ("--porcelain", "--atomic", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
            self._git("push", *options, *leases, self.name, *refspecs, limit=limit)
        except Timeout as error:
            return Pushed(unknown=True, said=error.message)
        except _Failed as error:
            return parse(error.out, error.stderr)
        return Pushed()

    def _git(self, *args: str, limit: float = LIMIT) -> str:
        environment = {"GIT_DIR": self.git_dir, "GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never"}
        settings = [word for setting in (*_SETTINGS, f"remote.{self.name}.mirror=false") for word in ("-c", setting)]
        if not {"GIT_SSH", "GIT_SSH_COMMAND"} & os.environ.keys() and not self._configured("core.sshCommand"):
            environment["GIT_SSH_COMMAND"] = SSH
        done = process.called_as_user([*settings, *args], cwd=self.cwd, env=environment, limit=limit)
        if done.returncode:
            raise _Failed(args, done.returncode, done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace"))
        return process.decoded(done)

    def _away(self, error: Timeout | GitError) -> Away:
        return Away(remote=self.name, said=_said(error))

    def _configured(self, key: str) -> bool:
        return bool(process.as_user(["config", "--get", key], cwd=self.git_dir, ok=(0, 1)))


def _said(error: Timeout | GitError) -> str:
    return words(error.stderr) if isinstance(error, GitError) else error.message


class NoSuchRef(Exception):
    """The remote has no ref of a name."""


class _Failed(GitError):
    def __init__(self, argv: Sequence[str], status: int, stderr: str, out: str) -> None:
        super().__init__(argv, status, stderr)
        self.out = out
