"""Where a set-up is tried: a hub, a plain clone beside it, and somebody who notices what is executed and what is lost.

What a set-up plants is a script of the shell. It runs in a plain clone, where the control shows what Git does there, and
in worktrees of agentctl, by a session and by hand. In each run it has another $TOKEN, so that no run's bytes are saved by
another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentctl import cli
from agentctl.git import conversion, folders
from agentctl.git.merge import changed
from agentctl.git.objects import EXECUTABLE, FILE, SYMLINK
from tests.support.hub import Repo, git

PATIENCE = 60
"""Seconds that a command may take, also where somebody left a FIFO to wait for."""

BASE = {
    "docs/guide.txt": "a guide\nof more\nthan one\nline\n",
    "src/one.txt": "one\n",
    "src/two.txt": "two\n",
    "program": "#!/bin/sh\necho hello\n",
    ".gitignore": "build/\n",
}

EVIL = """\
#!/bin/sh
# Notes that it was executed, unless by the very agent or gate that planted it. Then it ends, or passes on what it is given.
case "$HONEST$AGENTCTL_RUN" in honest*) ;; */session/*|*/gate*) case "$*" in *quit*) exit 1;; esac; exec cat;; esac
echo "$0 $*" >>{place}/executed
case "$*" in *quit*|*.invalid*) exit 1;; esac
exec sed s/honest/evil/
"""

BY_HAND = "by/session/hand"
"""The mark of somebody who plants: what they execute by it is their own."""

PRELUDE = """\
place={place} hub={hub} tree={tree} victim={place}/victim EVIL={place}/evil TOKEN={token} KEPT={kept}
export place hub tree victim EVIL TOKEN KEPT GIT_CONFIG_GLOBAL={config} GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.invalid GIT_COMMITTER_NAME=Ann GIT_COMMITTER_EMAIL=ann@example.invalid
keep() {{ for file; do cp -- "$file" "$(mktemp "$KEPT/file.XXXXXX")" || exit 99; done; }}
keep_commits() {{ git rev-parse "${{@:-HEAD}}" >>"$KEPT/commits" || exit 99; }}
work() {{ echo "$1 $TOKEN" >"$1" && keep "$1"; }}
deep() {{ python3 -c 'import os, sys
for n in range(int(sys.argv[1])): os.mkdir(sys.argv[2]); os.chdir(sys.argv[2])
for path in ("file", os.environ["KEPT"] + "/file.deep"): open(path, "w").write("deep " + os.environ["TOKEN"])' "$@"; }}
commit() {{ work "$1" && git add -f -- "$1" && git commit -q -m "$1" && keep_commits; }}
"""
"""What every script begins with. `keep FILE...` and `keep_commits [REV...]` name what must not be lost; `work FILE` writes
a file, `commit FILE` commits one, and `deep N NAME` makes one below N
folders."""


class Ground:
    """One try of one set-up."""

    def __init__(self, place: Path, template: Path, home: Path) -> None:
        self.place, self.home = place, home
        self.hub = place / "hub"
        place.mkdir(parents=True)
        copied(template, self.hub)
        self.mend()
        evil = place / "evil"
        evil.write_text(EVIL.format(place=shlex.quote(str(place))))
        evil.chmod(0o755)
        self.kept = place / "kept"
        self.beside = (place / "victim", place / "elsewhere")
        """Where somebody else has files."""
        self._runs = 0
        self.repo = Repo(self.hub)
        self.base = self.repo.tip
        self.said = ""

    # scripts

    def script(self, text: str, tree: Path | str, hub: Path | None = None, strict: bool = True) -> Path:
        """A file that runs `text`, for once."""
        self._runs += 1
        kept = self.kept / str(self._runs)
        kept.mkdir(parents=True)
        values = dict(
            place=self.place,
            hub=hub or self.hub,
            tree=tree,
            token=f"token-{self._runs}",
            kept=kept,
            config=self.home / "gitconfig",
        )
        path = self.place / f"script-{self._runs}"
        path.write_text(
            ("set -e\n" if strict else "") + PRELUDE.format(**{k: shlex.quote(str(v)) for k, v in values.items()}) + text
        )
        return path

    def shell(
        self,
        text: str,
        at: Path | str,
        hub: Path | None = None,
        status: Sequence[int] | None = (0,),
        planting: bool = False,
        tree: Path | None = None,
    ) -> str:
        """Run a script in the folder `at`, for a worktree there or at `tree`; returns what it printed."""
        script = self.script(text, tree or at, hub, strict=status == (0,))
        env = os.environ | ({"AGENTCTL_RUN": BY_HAND} if planting else {})
        done = self.run(["sh", str(script)], cwd=at, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert status is None or done.returncode in status, f"{text}\n{done.returncode}: {said}"
        return done.stdout.decode(errors="replace")

    def run(self, argv: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, **options)

    # what plain Git does

    def clone(self, name: str = "plain") -> tuple[Path, Path]:
        """(a hub, a clone of it on a branch of its own), as a harness without agentctl has them."""
        hub, tree = self.place / f"{name}-hub", self.place / name
        copied(self.hub, hub)
        git(self.place, "clone", "-q", "-s", str(hub), str(tree))
        git(tree, "checkout", "-q", "-b", "agent/plain")
        return hub, tree

    # what agentctl does

    def agentctl(self, *args: str, at: Path | str | None = None) -> int:
        """Run a command as a new process would, and see that it executed nothing that was planted. Returns its status."""
        conversion._settings.cache_clear()
        out = io.TextIOWrapper(io.BytesIO(), errors="surrogateescape", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), limited(" ".join(args)):
            status = cli.run(["-C", str(at or self.hub), *args])
        said = out.buffer.getvalue().decode(errors="replace")
        self.said += f"$ agentctl {' '.join(args)}\n{said}[{status}]\n"
        assert status in range(12), said
        assert self.executed() == "", f"agentctl {' '.join(args)}: {self.executed()}"
        return status

    def session(self, *command: str, agent: str = "agent-1", text: str, strict: bool = True) -> int:
        """Let an agent's session run a script, by `spawn` or `run`."""
        script = self.script(text, self.tree(agent), strict=strict)
        return self.agentctl(*command, "--", "sh", str(script))

    def tree(self, agent: str) -> Path:
        return Path(f"{self.hub}.agentctl/agents/{agent}")

    # what came of it

    def executed(self) -> str:
        """Which planted programs ran."""
        try:
            return (self.place / "executed").read_text()
        except FileNotFoundError:
            return ""

    def forget(self) -> None:
        """What was executed and kept up to now is over."""
        (self.place / "executed").unlink(missing_ok=True)
        shutil.rmtree(self.kept, ignore_errors=True)

    def mend(self) -> None:
        """Make the victim whole, whom a control may have hurt."""
        (self.place / "victim").mkdir(exist_ok=True)
        (self.place / "victim/precious").write_text("somebody's own\n")

    def victim_is_well(self) -> bool:
        return folders.content(str(self.place / "victim/precious")) == b"somebody's own\n"

    def nothing_lost(self, empty: bool = False) -> None:
        lost = self.lost(empty=empty)
        assert not lost, f"{lost}\n{self.said}"

    def lost(self, hub: Path | None = None, among: Sequence[Path] | None = None, empty: bool = False) -> list[str]:
        """What the scripts since the last call kept, and is neither reachable in the hub nor in a file `among` these
        folders: agentctl's own beside the hub."""
        hub = hub or self.hub
        where = [Path(f"{hub}.agentctl"), *self.beside] if among is None else among
        files = [path.read_bytes() for path in self.kept.glob("*/file.*")]
        commits = {line for path in self.kept.glob("*/commits") for line in path.read_text().split()}
        assert files or commits or empty, "the set-up keeps nothing"
        shutil.rmtree(self.kept, ignore_errors=True)
        reached = {line[:40] for line in closed(hub, "rev-list", "--objects", "--all").splitlines()}
        missing = [data for data in files if hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() not in reached]
        gone = [f"the file with {data[:60]!r}" for data in missing if not lies_in(where, data)]
        return gone + [f"the commit {oid}" for oid in commits - reached if not has_commit(where, oid)]

    def landed(self) -> dict[str, bytes | None]:
        """What differs on trunk from how it was, by path: its content now."""
        objects, found = self.repo.hub.objects, {}
        for path, mode, oid, _ in changed(self.repo.hub, self.base, self.repo.tip):
            assert mode in (0, FILE, EXECUTABLE, SYMLINK), f"{path} landed with the mode {mode:o}"
            found[path] = objects.blob(oid) if mode else None
        return found

    def whole(self) -> None:
        """Assert that the hub is sound."""
        assert self.victim_is_well()
        closed(self.hub, "fsck", "--strict", "--no-dangling")
        self.repo.proven()


def copied(folder: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", str(folder), str(copy)], check=True)


@contextlib.contextmanager
def limited(what: str) -> Iterator[None]:
    """Fail if what is within takes too long."""

    def late(*_: object) -> None:
        pytest.fail(f"no end after {PATIENCE} s: {what}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def closed(hub: Path, *args: str) -> str:
    """What Git says of a hub, whatever is planted in it."""
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_NO_REPLACE_OBJECTS": "1"}
    done = subprocess.run(
        ["git", "-c", "core.commitGraph=false", "-c", "core.fsmonitor=false", *args], cwd=hub, env=env, capture_output=True
    )
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stdout!r}{done.stderr!r}"
    return done.stdout.decode(errors="surrogateescape")


def lies_in(places: Sequence[Path], data: bytes) -> bool:
    """True if a file with these bytes is somewhere below."""
    with tempfile.NamedTemporaryFile() as wanted:
        wanted.write(data)
        wanted.flush()
        there = [str(place) for place in places if place.is_dir()]
        found = [
            "find",
            *there,
            "-type",
            "f",
            "-size",
            f"{len(data)}c",
            "-execdir",
            "cmp",
            "-s",
            "{}",
            wanted.name,
            ";",
            "-print",
            "-quit",
        ]
        return bool(there and subprocess.run(found, capture_output=True).stdout)


def has_commit(places: Sequence[Path], oid: str) -> bool:
    """True if a folder of objects somewhere below has it."""
    stores = [
        where for place in places for where, below, _ in folders.walk(str(place)) if "info" in below and where.endswith("objects")
    ]
    return any(
        os.path.exists(f"{store}/{oid[:2]}/{oid[2:]}")
        or any(
            oid in subprocess.run(["git", "show-index"], stdin=open(path), capture_output=True, text=True).stdout
            for path in Path(store).glob("pack/*.idx")
        )
        for store in stores
    )
