"""Writing objects beside other writers, living and dead."""

import os
from concurrent.futures import ThreadPoolExecutor

from agentctl.git.objects import EMPTY_TREE, Objects


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


def test_nothing_of_a_failed_write_remains(repo):
    objects = repo.hub.objects
    before = {str(path) for path in (repo.path / ".git/objects").rglob("*") if path.is_file()}

    class Broken:
        id = b"12" * 20

        def as_legacy_object(self):
            raise OSError(28, "No space left on device")

    try:
        objects._write(Broken())
    except OSError:
        pass
    assert {str(path) for path in (repo.path / ".git/objects").rglob("*") if path.is_file()} == before
