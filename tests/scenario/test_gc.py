"""Somebody's `git gc --prune=now` runs all the time beside bot and people: nothing is lost by it."""

import os
import subprocess
import threading
import time

import pytest

from agentctl.core.tasks.claim import Claim
from agentctl.git import kept_packs
from agentctl.git.store import Store
from agentctl.git.transactions import Gone
from agentctl.hub import claims, tasks
from tests.support.agents import add
from tests.support.hub import eventually, finish


@pytest.fixture
def pruned(repo):
    """A hub in which Git collects garbage without end, and how often it has."""
    stop, runs = threading.Event(), []

    def collect():
        while not stop.is_set():
            subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=repo.path, capture_output=True)
            subprocess.run(["git", "pack-refs", "--all", "--prune"], cwd=repo.path, capture_output=True)
            runs.append(time.monotonic())

    thread = threading.Thread(target=collect)
    thread.start()
    repo.collected = runs
    yield repo
    stop.set()
    thread.join()


def sound(repo):
    """Whether all that any ref names is there. The commit graph is left out: between a prune and the end of its gc it names
    commits that are gone, whoever calls Git."""
    return repo.git("-c", "core.commitGraph=false", "fsck", "--full", "--no-dangling") == ""


def kept(repo, files, base=None):
    """A change that a branch holds, as that of an agent's worktree is held."""
    with repo.hub.objects.store.together():
        head = repo.change(files, base=base)
        repo.hub.objects.store.flush()
        repo.git("branch", f"work/{head[:10]}", head)
    return head


def test_the_bot_lands_rejects_and_answers_all_the_same(pruned):
    repo = pruned
    repo.push({"word": "zero\n"})
    base = repo.tip
    with repo.bot() as bot:
        for round in range(4):
            for n in range(5):
                repo.hand_in(f"good-{round}-{n}", kept(repo, {f"{round}/{n}.txt": f"{n}\n"}, base), f"agent-{n}")
            repo.hand_in(f"bad-{round}", kept(repo, {f"bad-{round}.txt": "BUG\n"}, base), "bad")
            repo.hand_in(f"clash-{round}", kept(repo, {"word": f"{round}\n"}, base), "clash")
            finish(bot)
    stages = repo.stages()
    assert sum(stage == "landed" for stage in stages.values()) == 21 and len(stages) == 28
    # What was acknowledged is answered, and all that any ref names is there.
    assert len(repo.refs("refs/agentctl/outbox")) == 7
    assert sound(repo)
    assert len(repo.collected) > 5
    repo.proven()


def test_submissions_tasks_and_claims(pruned):
    repo = pruned
    heads = [kept(repo, {f"{n}.txt": f"{n}\n"}) for n in range(10)]
    for n, head in enumerate(heads):
        repo.hand_in(f"c{n}", head)
        add(repo, f"t{n}")
        claims.claim(repo.hub, f"t{n}", Claim("ann", 1, 1.0))
        tasks.change(repo.hub, f"t{n}", "renamed", lambda task: task.__class__(task.id, "another title", task.prompt))
    before = len(repo.collected)
    eventually(lambda: len(repo.collected) > before + 1)
    assert sound(repo)
    assert len(tasks.listed(repo.hub)) == len(tasks.survey(repo.hub).claims) == 10
    repo.drain()
    assert len(repo.landings()) == 10


def test_verify_does_not_tell_of_what_a_gc_leaves_for_a_moment(repo):
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    gone = repo.change({"two.txt": "2\n"})
    repo.hub.objects.store.flush()
    # A commit graph names what is pruned, as between the prune of a gc and its end.
    repo.git("branch", "gone", gone)
    repo.git("commit-graph", "write", "--reachable")
    repo.git("update-ref", "-d", "refs/heads/gone")
    repo.hub.objects.store._kept.release()
    repo.git("-c", "gc.writeCommitGraph=false", "gc", "-q", "--prune=now")
    with pytest.raises(AssertionError):
        repo.git("fsck")
    repo.proven()


def test_a_stager_builds_anew_what_may_be_gone(repo):
    one = repo.submit("one", {"one.txt": "1\n"})
    with repo.bot() as bot:
        finish(bot)
        record = repo.record("one")
        built = bot.stager.chain(record.proof.old, [record])
        assert bot.stager._applied
        # All that was written is given up, as when many packs are full.
        repo.hub.objects.store._kept.release()
        repo.git("gc", "-q", "--prune=now")
        again = bot.stager.chain(record.proof.old, [record])
        repo.hub.objects.store.flush()
        assert again.commit == built.commit and record.change.head == one
        repo.git("cat-file", "-e", f"{again.commit}^{{tree}}")


def test_a_transaction_that_misses_an_object_is_a_contended_turn(repo, monkeypatch):
    repo.submit("one", {"one.txt": "1\n"})
    real, lost = Store.flush, []

    def loses(self):
        if self._waiting and len(lost) < 3 and any(kind == b"commit" for kind, _ in self._waiting.values()):
            lost.append(self._waiting.copy())
            self._own.waiting = {}
        real(self)

    with repo.bot() as bot:
        monkeypatch.setattr(Store, "flush", loses)
        finish(bot)
        assert len(lost) == 3
    assert repo.landings() == ["one/1"]
    assert sound(repo)


def test_a_pack_goes_only_when_what_it_held_is_durable_elsewhere(repo, monkeypatch):
    """Also one that was replaced by a pack which has grown full since."""
    monkeypatch.setattr(kept_packs, "FULL_OBJECTS", 30)
    monkeypatch.setattr(kept_packs, "REPLACED", 4)
    held, durable = {}, set()
    write, unlink = kept_packs.Kept._write, kept_packs.Kept._unlink

    def written(self, entries, sync):
        name = write(self, entries, sync)
        held[name] = set(entries)
        return name

    def synced(file):
        name = os.path.basename(os.readlink(f"/proc/self/fd/{file}"))
        durable.update(held.get(name.removesuffix(".pack"), ()))

    def gone(self, name):
        assert not name.endswith(".pack") or held[name.removesuffix(".pack")] <= durable
        unlink(self, name)

    monkeypatch.setattr(kept_packs.Kept, "_write", written)
    monkeypatch.setattr(kept_packs.Kept, "_unlink", gone)
    monkeypatch.setattr(kept_packs.os, "fsync", synced)
    keeping = kept_packs.Kept(f"{repo.hub.git_dir}/objects/pack")
    for n in range(100):
        keeping.add({f"{n:040x}": (b"blob", b"%d" % n)}, sync=False)
    keeping.release()
    assert (
        len(held) == 100 and len([name for name in os.listdir(f"{repo.hub.git_dir}/objects/pack") if name.endswith(".pack")]) <= 5
    )


def test_what_a_gc_takes_between_its_writing_and_its_naming_is_written_again(repo):
    store = repo.hub.objects.store
    with store.together():
        made = repo.hub.objects.write_commit(repo.hub.objects.write_tree({}), [], "new\n", 1.0)
        move = repo.hub.refs.transaction("name it")
        move.create("refs/agentctl/found/1", made)
        store.flush()
        repo.git("gc", "-q", "--prune=now")
        assert not store.exists(made)
        move.commit()
    repo.git("gc", "-q", "--prune=now")
    assert repo.refs("refs/agentctl/found") and sound(repo)


def test_a_ref_to_what_never_was_is_refused(repo):
    move = repo.hub.refs.transaction("name it")
    move.create("refs/agentctl/found/1", "1" * 40)
    with pytest.raises(Gone):
        move.commit()
