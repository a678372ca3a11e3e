"""A landing broken before each of its effects in turn: the next bot finishes it.

Three changes wait, one of them bad. The run dies before its n-th effect, for n = 1, 2,
3, ... until one ends untouched. An effect is a Git process that writes, an object
written, or a sync of the file system; those of gates' threads count, too.
"""

import shutil
import threading

import pytest

from agentctl.git import process
from agentctl.git.checkouts import Checkout
from agentctl.git.repository import Hub
from agentctl.git.store import Store
from tests.support.hub import Repo, git

WRITES = {"update-ref", "read-tree", "update-index", "worktree", "reset", "clean", "merge-tree", "symbolic-ref"}
COARSE = 20
"""The normal run breaks before every effect on refs and worktrees, and before one in so many
of the rest: objects, merges, syncs, resets of a gate's slot."""
LOOSE = {"object", "sync", "git merge-tree", "git reset", "git clean"}


class Crash(BaseException):
    """Not an Exception: nothing that tidies up after errors may handle it."""


class Counter:
    """Counts effects and, from the n-th on, lets none happen: a dead process has no more."""

    def __init__(self, monkeypatch, wanted=lambda kind, number: True):
        self.fatal = self.seen = self.loose = 0
        self._wanted, self._lock = wanted, threading.Lock()
        self._wrap(monkeypatch, process, "_called", self._git)
        self._wrap(monkeypatch, Store, "_loose", lambda *a, **k: "object")
        self._wrap(monkeypatch, Store, "_pack", lambda *a, **k: "pack")
        self._wrap(monkeypatch, Hub, "sync", lambda *a, **k: "sync")

    def arm(self, fatal):
        """Break before the effect of that number; 0 for none."""
        self.fatal, self.seen, self.loose = fatal, 0, 0

    def _wrap(self, monkeypatch, owner, name, kind):
        real = getattr(owner, name)

        def counted(*args, **options):
            self._count(kind(*args, **options))
            return real(*args, **options)

        monkeypatch.setattr(owner, name, counted)

    @staticmethod
    def _git(argv, **_):
        return next((f"git {word}" for word in argv if word in WRITES), "")

    def _count(self, kind):
        with self._lock:
            if not kind:
                return
            if self.fatal and self.seen >= self.fatal:
                raise Crash(kind)
            self.loose += kind in LOOSE
            if self._wanted(kind, self.loose):
                self.seen += 1
                if self.seen == self.fatal:
                    raise Crash(kind)


def broken(counter, fatal, context, bot, act):
    """Let a bot in its `context` act, broken before that effect; False if nothing broke."""
    counter.arm(fatal)
    try:
        act()
    except Crash:
        return True
    finally:
        counter.arm(0)
        # A killed bot tidies up nothing, but its locks go with it, and so must its threads.
        bot.restart = lambda **_: None
        context.__exit__(None, None, None)
    return False


def coarse(kind, number):
    return kind not in LOOSE or number % COARSE == 0


@pytest.fixture
def begin(make_repo, tmp_path):
    """A function that makes a fresh copy of the repository with three changes waiting."""
    origin = make_repo("origin")
    origin.submit("one", {"one.txt": "one\n", "README": None})
    origin.submit("bad", {"bad.txt": "BUG\n"})
    origin.submit("two", {"two.txt": "two\n"})
    # Trunk's own verdict is there, so that no run spends its time on it.
    origin.trunk_judged()

    def copy(number):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.rmtree(tmp_path / "copy.agentctl", ignore_errors=True)
        shutil.copytree(origin.path, tmp_path / "copy", symlinks=True)
        (tmp_path / "copy/.git/index").unlink()
        repo = Repo(tmp_path / "copy")
        repo.git("reset", "-q", "--hard")
        return repo

    return copy


def run(repo, counter, fatal):
    """One bot's life on the repository; False if it was broken."""
    again = Repo(repo.path)
    counter.arm(fatal)
    try:
        again.drain()
    except Crash:
        return False
    finally:
        counter.arm(0)
    return True


def holds(repo):
    """Everything that must be so in the end, whatever broke on the way."""
    assert repo.stages() == {"one/1": "landed", "two/1": "landed", "bad/1": "rejected"}
    assert sorted(repo.landings()) == ["one/1", "two/1"]
    assert "found a bug" in repo.answer("bad")["gate.log"]
    counts = repo.proven()
    assert (counts.landed, counts.rejected, counts.queued) == (2, 1, 0)
    assert repo.git("status", "--porcelain") == ""
    assert (repo.path / "one.txt").exists() and not (repo.path / "README").exists()
    assert repo.refs() == ["refs/agentctl/outbox/ann/bad/1", "refs/agentctl/state", "refs/agentctl/verdicts"]
    assert not (repo.path.parent / "copy.agentctl").exists()


def until_untouched(begin, counter):
    """Break before effect 1, 2, 3, ... Returns how many effects an untouched run has, and one."""
    fatal = 1
    while True:
        repo = begin(fatal)
        untouched = run(repo, counter, fatal)
        if not untouched:
            assert run(repo, counter, 0)
        holds(repo)
        if untouched:
            return fatal
        fatal += 1


def test_broken_before_every_effect_on_refs_and_worktrees(begin, monkeypatch):
    assert until_untouched(begin, Counter(monkeypatch, coarse)) > 10


@pytest.mark.slow
def test_broken_before_every_effect(begin, monkeypatch):
    assert until_untouched(begin, Counter(monkeypatch)) > 20


def test_a_mirror_made_after_any_of_them_goes_on_from_the_refs_alone(begin, monkeypatch, tmp_path):
    # What nothing names, such as a commit that was about to land, does not come along.
    counter, fatal, untouched = Counter(monkeypatch, coarse), 1, False
    while not untouched:
        repo, mirror = begin(fatal), tmp_path / f"mirror-{fatal}"
        untouched = run(repo, counter, fatal)
        git(tmp_path, "clone", "-q", "--mirror", "--no-local", str(repo.path), str(mirror))
        copy = Repo(mirror)
        copy.drain()
        assert copy.stages() == {"one/1": "landed", "two/1": "landed", "bad/1": "rejected"}
        assert copy.proven().landed == 2
        fatal += 1


@pytest.mark.parametrize("first", [5, 10])
def test_broken_again_in_the_recovery(begin, monkeypatch, first):
    counter = Counter(monkeypatch, coarse)
    for second in range(2, 14, 3):
        repo = begin(second)
        run(repo, counter, first)
        run(repo, counter, second)
        assert run(repo, counter, 0)
        holds(repo)


def test_a_checkout_whose_files_were_half_written(begin, monkeypatch):
    # Git makes a file and then writes it: killed in between, it leaves the beginning of it, and the old index.
    repo = begin(1)

    def cut_off(checkout, old, new):
        with open(checkout.path + "/one.txt", "w") as file:
            file.write("on")
        raise Crash("read-tree")

    with monkeypatch.context() as patched:
        patched.setattr(Checkout, "follow", cut_off)
        with pytest.raises(Crash):
            Repo(repo.path).drain()
    assert (repo.path / "one.txt").read_text() == "on"
    Repo(repo.path).drain()
    holds(repo)
