"""Commits that nobody would write today, and that histories have: Git reads them, so must we."""

import subprocess

import pytest

from agentctl.git.objects import ObjectError, parse_commit

GOOD = b"Ann <ann@example.invalid> 1312735823 +0200"
ODD = {
    "a zone of six digits": b"Ann <ann@example.invalid> 1312735823 +051800",
    "no zone": b"Ann <ann@example.invalid> 1312735823",
    "no date": b"Ann <ann@example.invalid>",
    "before 1970": b"Ann <ann@example.invalid> -86400 +0000",
    "a date beyond all": b"Ann <ann@example.invalid> 99999999999999999999 +0000",
    "no name": b"<ann@example.invalid> 1312735823 +0000",
    "no address": b"Ann 1312735823 +0000",
    "an address in an address": b"Ann <<ann@example.invalid>> 1312735823 +0000",
    "not UTF-8": b"J\xfcrgen <j\xfc@example.invalid> 1312735823 +0000",
    "99 hours and 99 minutes east": b"Ann <ann@example.invalid> 1312735823 +9999",
}


def commit(repo, line, tree=None, message=b"odd\n", extra=b""):
    tip = repo.tip
    tree = tree or repo.hub.objects.commit(tip).tree
    data = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n%s\n%s" % (tree.encode(), tip.encode(), line, line, extra, message)
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        cwd=repo.path,
        input=data,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def fsck(repo):
    """What Git says of the commits that trunk has beyond the odd one."""
    done = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=repo.path, capture_output=True, text=True)
    return [line.split()[3].rstrip(":") for line in done.stderr.splitlines() if line.startswith("error in commit")]


@pytest.mark.parametrize("strategy", ["squash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rebase", "merge"))])
@pytest.mark.parametrize("line", ODD)
def test_one_on_trunk_stops_nobody(make_repo, line, strategy):
    repo = make_repo(strategy=strategy)
    odd = commit(repo, ODD[line])
    repo.git("update-ref", "refs/heads/main", odd)
    repo.git("reset", "-q", "--hard")
    repo.submit("one", {"one.txt": "1\n"})
    repo.drain()
    repo.submit("two", {"README": "two\n"})
    repo.drain()
    assert repo.landings()[-2:] == ["one/1", "two/1"]
    assert set(fsck(repo)) <= {odd}
    for words in (["why", "one"], ["verify"], ["queue", "--all"]):
        repo.cli(*words)


@pytest.mark.parametrize("line", ODD)
def test_what_is_read_is_written_as_git_writes(repo, line):
    objects = repo.hub.objects
    read = objects.commit(commit(repo, ODD[line]))
    made = objects.write_commit(
        read.tree,
        [repo.tip],
        read.message,
        read.time,
        author=read.author,
        author_time=read.author_time,
        author_zone=read.author_zone,
    )
    repo.git("update-ref", "refs/heads/made", made)
    assert made not in fsck(repo)
    assert objects.commit(made).flaw == ""
    # What there is to be kept is kept.
    assert bool(read.flaw) == (line not in ("not UTF-8", "99 hours and 99 minutes east"))
    if not read.flaw:
        assert ODD[line] in objects.store.read(made)[1]


def test_parents_are_those_that_git_takes_for_parents(repo):
    # A line further down is none.
    forged = commit(repo, GOOD, extra=b"parent " + b"1" * 40 + b"\n")
    assert repo.hub.objects.commit(forged).parents == (repo.tip,) == tuple(repo.git("rev-parse", f"{forged}^@").split())


@pytest.mark.parametrize("data", [b"", b"\n\n", b"tree x\n\n", b"tree " + b"1" * 40 + b"\nparent 1\n\n", b"parent " + b"1" * 40])
def test_what_git_does_not_read_either(data):
    with pytest.raises(ObjectError):
        parse_commit("1" * 40, data)


@pytest.mark.parametrize("message", [b"sub\0ject\n", b"subject\n\nbody\0\n"])
def test_a_nul_byte_does_not_land(repo, message):
    # With it on trunk nobody could clone trunk who has fetch.fsckObjects set.
    head = commit(repo, GOOD, tree=repo.hub.objects.commit(repo.change({"new.txt": "new\n"})).tree, message=message)
    repo.git("update-ref", "refs/agentctl/inbox/ann/nul/1", head)
    repo.drain()
    assert (repo.stage("nul"), repo.landings()) == ("rejected", [])
    assert "holds a NUL byte" in repo.record("nul").why
