"""Packs are put together while others read, and nothing is lost by it."""

import hashlib
import os
import threading
import time

from agentctl.engine import upkeep
from agentctl.git.store import FEW, ObjectError, Store
from tests.support.hub import Repo, eventually, git


def packs(repo):
    return sum(name.endswith(".pack") for name in os.listdir(os.path.join(repo.hub.git_dir, "objects/pack")))


def written(repo, count, word=""):
    """Ids of blobs in `count` packs that no ref holds."""
    store, oids = Store(repo.hub.git_dir), []
    for pack in range(count):
        with store.together():
            oids += [store.write(b"blob", f"{word} {pack} {n}".encode()) for n in range(FEW + 1)]
    store.close()
    return oids


def test_a_bot_with_nothing_to_do_puts_packs_together(repo):
    oids = written(repo, upkeep.MANY + 1)
    lone = repo.hub.objects.write_blob(b"a loose one that no ref holds")
    reader, stop, lost = Store(repo.hub.git_dir), threading.Event(), []

    def read():
        while not stop.is_set():
            for oid in oids:
                try:
                    reader.read(oid)
                except ObjectError as error:
                    lost.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        with repo.bot() as bot:
            bot.take_turn()
            repo.submit("one", {"one.txt": "1\n"})
            eventually(lambda: bot.take_turn() or (repo.landings()[-1:] == ["one/1"] and packs(repo) < 5))
    finally:
        stop.set()
        thread.join()
    assert lost == []
    fresh = Store(repo.hub.git_dir)
    assert all(fresh.exists(oid) for oid in (*oids, lone))
    repo.proven()


def test_a_bot_that_ends_at_once_does_it_too(repo):
    oids = written(repo, upkeep.MANY + 1)
    repo.cli("bot", "run", "--once")
    assert packs(repo) < 5
    fresh = Store(repo.hub.git_dir)
    assert all(fresh.exists(oid) for oid in oids)


def test_what_is_borrowed_from_another_repository_is_not_copied(repo, tmp_path):
    repo.git("repack", "-adq")
    git(tmp_path, "clone", "-q", "--bare", "--shared", str(repo.path), "borrower.git")
    borrower = Repo(tmp_path / "borrower.git")
    oids = written(borrower, upkeep.MANY + 1)
    borrower.cli("bot", "run", "--once")
    listed = borrower.git("verify-pack", "-v", *(str(path) for path in (borrower.path / "objects/pack").glob("*.idx")))
    assert oids[0] in listed and repo.tip not in listed


def loose(repo, count):
    """Ids of loose blobs that no ref holds, so many in the folder in which loose objects are counted."""
    texts = (f"loose {n}".encode() for n in range(count * 1000))
    counted = (t for t in texts if hashlib.sha1(b"blob %d\0" % len(t) + t).hexdigest().startswith(upkeep.SAMPLE))
    return [repo.hub.objects.write_blob(next(counted)) for _ in range(count)]


def test_many_loose_objects_are_packed(repo):
    folder = repo.path / ".git/objects" / upkeep.SAMPLE
    # The bot's own objects may have any name.
    loose(repo, upkeep.LOOSE - 9)
    repo.cli("bot", "run", "--once")
    assert folder.exists()
    oids = loose(repo, upkeep.LOOSE + 1)
    repo.cli("bot", "run", "--once")
    assert not folder.exists()
    fresh = Store(repo.hub.git_dir)
    assert all(fresh.exists(oid) for oid in oids)
    repo.git("fsck", "--full", "--no-dangling")


def test_few_packs_are_left_alone(repo):
    written(repo, 3)
    before = packs(repo)
    repo.cli("bot", "run", "--once")
    assert packs(repo) == before + 1, "and what the bot wrote"


def test_what_a_killed_git_left_goes_after_a_day(repo):
    written(repo, upkeep.MANY + 1)
    old, new = (os.path.join(repo.hub.git_dir, "objects/pack", name) for name in ("tmp_pack_old", "tmp_pack_new"))
    for path in (old, new):
        open(path, "w").close()
    os.utime(old, (time.time() - 2 * upkeep.LEFT,) * 2)
    repo.cli("bot", "run", "--once")
    assert not os.path.exists(old) and os.path.exists(new)


def test_a_repack_that_is_killed_at_any_moment_loses_nothing(repo):
    oids, cut = [], 0
    with repo.bot() as bot:
        for seconds in (0.0, 0.02, 0.05, 0.1, 0.2):
            oids += written(repo, upkeep.MANY + 1, f"after {seconds}")
            bot.upkeep.turn()
            bot.upkeep._next = 0.0
            bot.upkeep.turn()
            running = bot.upkeep._running
            time.sleep(seconds)
            cut += not running.poll()
            running.kill()
            eventually(running.poll)
            fresh = Store(repo.hub.git_dir)
            assert all(fresh.exists(oid) for oid in oids)
            fresh.close()
    assert cut
    repo.git("fsck", "--full", "--no-dangling")
    repo.cli("bot", "run", "--once")
    assert packs(repo) <= upkeep.MANY
    repo.proven()


def test_packs_are_put_together_again_and_again_beside_work(repo):
    with repo.bot() as bot:
        for round in range(3):
            written(repo, upkeep.MANY + 1, f"round {round}")
            repo.submit(f"c{round}", {f"{round}.txt": "1\n"})
            bot.upkeep._next = min(bot.upkeep._next, time.monotonic() + upkeep.REST)
            eventually(lambda: bot.take_turn() or packs(repo) <= upkeep.MANY // 2)


def test_a_try_that_does_not_help_is_not_made_again_at_once(repo):
    for path in repo.path.glob(".git/objects/pack/*.pack"):
        path.with_suffix(".keep").touch()
    written(repo, upkeep.MANY + 1)
    for path in repo.path.glob(".git/objects/pack/*.pack"):
        path.with_suffix(".keep").touch()
    with repo.bot() as bot:
        eventually(lambda: bot.take_turn() or (bot.upkeep._tried and not bot.upkeep._running))
        assert bot.upkeep._next > time.monotonic() + upkeep.PAUSE - 60
