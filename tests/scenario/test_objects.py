"""Writing objects beside other writers, living and dead."""

import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentctl.git import store
from agentctl.git.objects import EMPTY_TREE, FILE, ObjectError, Objects


def test_many_writers_of_the_same_objects(repo):
    stores = [Objects(repo.hub.git_dir) for _ in range(8)]

    def write(store):
        return [store.write_commit(store.replace(EMPTY_TREE, {"a/b": b"%d" % n}), (), "same", 1) for n in range(40)]

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, stores))
    assert all(each == written[0] for each in written)
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_what_a_killed_writer_left_is_in_nobodys_way(repo):
    # A file under a name of its own, or a lock on the object, is what a kill -9 leaves.
    objects = repo.hub.objects
    oid = objects.write_blob(b"content")
    folder = repo.path / ".git/objects" / oid[:2]
    (folder / oid[2:]).unlink()
    (folder / (oid[2:] + ".lock")).touch()
    (folder / "tmp_obj_killed").write_bytes(b"half")
    assert objects.write_blob(b"content") == oid
    assert objects.blob(oid) == b"content"
    assert repo.git("cat-file", "blob", oid) == "content"


def test_an_object_that_is_there_is_made_young_again(repo):
    # Else a `git gc` could prune it as old before a ref holds it.
    objects = repo.hub.objects
    oid = objects.write_blob(b"content")
    path = repo.path / ".git/objects" / oid[:2] / oid[2:]
    os.utime(path, (1, 1))
    objects.write_blob(b"content")
    assert path.stat().st_mtime > 1000


@pytest.mark.parametrize("nameless", [True, False], ids=["a file without a name", "a file that is renamed"])
def test_nothing_of_a_failed_write_remains(repo, monkeypatch, nameless):
    objects = repo.hub.objects
    before = {str(path) for path in (repo.path / ".git/objects").rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError):
        objects.write_blob(b"content")
    assert {str(path) for path in (repo.path / ".git/objects").rglob("*") if path.is_file()} == before


def test_what_is_written_together_is_one_pack(repo):
    objects, packs = repo.hub.objects, repo.path / ".git/objects/pack"
    with objects.store.together():
        blobs = [objects.write_blob(b"%d" % n * n) for n in range(store.FEW * 3)]
        tree = objects.write_tree({b"f%d" % n: (FILE, oid) for n, oid in enumerate(blobs)})
        made = objects.write_commit(tree, (), "all", 1)
        # Read before it is anywhere on the disk.
        assert objects.blob(blobs[5]) == b"55555" and objects.size(blobs[5]) == 5 and objects.exists(made)
        assert not [*packs.iterdir()]
    assert sorted(path.suffix for path in packs.iterdir()) == [".idx", ".pack"]
    repo.git("update-ref", "refs/heads/packed", made)
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    subprocess.run(["git", "verify-pack", *packs.glob("*.idx")], check=True)
    assert Objects(repo.hub.git_dir).blob(blobs[7]) == objects.blob(blobs[7]) == b"7777777"
    assert repo.git("show", "packed:f3") == "333"


def test_a_few_objects_at_a_time_make_one_pack_that_grows(repo):
    objects, packs = repo.hub.objects, repo.path / ".git/objects/pack"
    objects.store.lasting = True
    oids = []
    for n in range(10):
        with objects.store.together():
            oids.append(objects.write_blob(b"content %d" % n))
            assert repo.git("cat-file", "--batch-all-objects", "--batch-check").count(oids[-1]) == 0
            objects.store.flush()
            assert repo.git("cat-file", "blob", oids[-1]) == f"content {n}"
    objects.close()
    assert sorted(path.suffix for path in packs.iterdir()) == [".idx", ".pack"]
    assert [repo.git("cat-file", "blob", oid) for oid in oids] == [f"content {n}" for n in range(10)]


@pytest.mark.parametrize("lasting", [True, False], ids=["a bot's", "of a command beside a running gc"])
def test_what_no_ref_names_yet_is_safe_from_a_prune(repo, lasting):
    objects = repo.hub.objects
    objects.store.lasting, running = lasting, repo.path / ".git/gc.pid"
    with objects.store.together():
        safe = objects.write_blob(b"safe")
        running.touch()
        objects.store.flush()
        running.unlink()
        repo.git("gc", "-q", "--prune=now")
        assert repo.git("cat-file", "blob", safe) == "safe"
    objects.close()
    # A control: nothing keeps what nobody is about to name.
    loose = objects.write_blob(b"loose")
    repo.git("gc", "-q", "--prune=now")
    assert repo.git("cat-file", "--batch-all-objects", "--batch-check").count(loose) == 0
    assert repo.git("cat-file", "--batch-all-objects", "--batch-check").count(safe) == 0
    assert [*(repo.path / ".git/objects/pack").glob("*.keep")] == []


def test_what_a_gc_took_before_a_ref_named_it_is_there_again(repo):
    objects, running = repo.hub.objects, repo.path / ".git/gc.pid"
    with objects.store.together():
        oids = [objects.write_blob(b"%d" % n) for n in range(3)]
        objects.store.flush()
        repo.git("gc", "-q", "--prune=now")
        assert not any((repo.path / ".git/objects" / oid[:2] / oid[2:]).exists() for oid in oids)
    assert [repo.git("cat-file", "blob", oid) for oid in oids] == ["0", "1", "2"]
    # And one that runs still, with a list of what is to go.
    with objects.store.together():
        late = objects.write_blob(b"late")
        objects.store.flush()
        running.touch()
    (repo.path / ".git/objects" / late[:2] / late[2:]).unlink()
    running.unlink()
    assert repo.git("cat-file", "blob", late) == "late"


def test_what_a_killed_process_kept_is_given_up_by_the_next_bot(repo):
    objects, packs = repo.hub.objects, repo.path / ".git/objects/pack"
    child = os.fork()
    if not child:
        objects.store.lasting = True
        with objects.store.together():
            objects.write_blob(b"half way")
            objects.store.flush()
            os._exit(0)
    os.waitpid(child, 0)
    users = packs / "pack-of-the-user.keep"
    users.touch()
    assert len([*packs.glob("*.keep")]) == 2
    repo.drain()
    assert [*packs.glob("*.keep")] == [users]


def test_an_object_too_large_to_be_unpacked_is_not(repo, monkeypatch):
    objects = repo.hub.objects
    large = objects.write_blob(bytes(store.MOST + 1))
    assert objects.size(large) == store.MOST + 1
    with pytest.raises(ObjectError, match="larger than"):
        objects.blob(large)
    repo.git(
        "update-ref", "refs/heads/large", objects.write_commit(objects.write_tree({b"large": (FILE, large)}), (), "large", 1)
    )
    repo.git("repack", "-adq")
    fresh = Objects(repo.hub.git_dir)
    assert fresh.size(large) == store.MOST + 1 and fresh.store.head(large)[0] == "blob"
    with pytest.raises(ObjectError, match="larger than"):
        fresh.blob(large)


def test_heads_of_packed_objects_are_those_that_git_tells(repo):
    # Lines that change a little from one file to the next become deltas upon deltas.
    text = [f"line {n} {'x' * (n % 50)}" for n in range(400)]
    for n in range(30):
        text[n * 7] = f"changed {n}"
        repo.push({"long.txt": "\n".join(text), f"d/{n}": f"{n}"})
    repo.git("repack", "-adfq", "--depth=50")
    listed = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype) %(objectsize) %(deltabase)")
    rows = [line.split() for line in listed.splitlines()]
    assert any(base.strip("0") for *_, base in rows)
    fresh = Objects(repo.hub.git_dir)
    for oid, kind, size, _ in rows:
        assert fresh.store.head(oid) == (kind, int(size)) and len(fresh.store.read(oid)[1]) == int(size)


def test_what_an_exception_cuts_off_is_forgotten(repo):
    objects = repo.hub.objects
    with pytest.raises(ZeroDivisionError), objects.store.together():
        oid = objects.write_blob(b"content")
        raise ZeroDivisionError
    assert not objects.exists(oid)
    assert objects.write_blob(b"content") == oid and objects.blob(oid) == b"content"


def test_an_object_under_a_wrong_name_is_not_believed(repo):
    objects, folder = repo.hub.objects, repo.path / ".git/objects"
    true, false = objects.write_blob(b"true"), objects.write_blob(b"false")
    (folder / true[:2] / true[2:]).unlink()
    os.rename(folder / false[:2] / false[2:], folder / true[:2] / true[2:])
    with pytest.raises(ObjectError):
        objects.blob(true)


def test_every_object_that_git_packed_or_did_not_is_measured_as_git_does(repo):
    # What many different bytes stand in, some more often than others, has a long code before its content.
    dice = random.Random(7)
    repo.git("config", "core.looseCompression", "9")
    text = bytearray(dice.choices(range(256), [dice.random() ** 8 + 1e-4 for _ in range(256)], k=20_000))
    for n in range(60):
        at = dice.randrange(19_000)
        text[at : at + 900] = bytes(dice.choices(range(256), [dice.random() ** 8 + 1e-4 for _ in range(256)], k=900))
        (repo.path / "noise").write_bytes(text[: dice.randrange(800, 20_000)])
        repo.git("add", "noise")
        repo.git("commit", "-q", "-m", f"noise {n}")
    asked = "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)"
    for packed in (False, True):
        if packed:
            repo.git("repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50")
        listed = dict(line.split() for line in repo.git("cat-file", *asked).splitlines())
        objects = Objects(repo.hub.git_dir)
        assert {oid: str(objects.size(oid)) for oid in listed} == listed
