"""Writing objects beside other writers, living and dead."""

import os
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


def test_a_few_objects_make_no_pack(repo):
    objects = repo.hub.objects
    with objects.store.together():
        oid = objects.write_blob(b"content")
        assert repo.git("cat-file", "--batch-all-objects", "--batch-check").count(oid) == 0
        objects.store.flush()
        assert repo.git("cat-file", "blob", oid) == "content"
    assert not [*(repo.path / ".git/objects/pack").iterdir()]


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
