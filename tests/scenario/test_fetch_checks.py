"""Nothing lands with which nobody could clone trunk who lets Git look at what is fetched (fetch.fsckObjects)."""

import subprocess

import pytest

from tests.support.hub import git

BAD_URL = '[submodule "a"]\n\tpath = a\n\turl = -uevil\n'
BAD_NAME = '[submodule "../../x"]\n\tpath = a\n\turl = https://example.invalid/a\n'
GOOD = '[submodule "a"]\n\tpath = a\n\turl = https://example.invalid/a\n'
CASES = {
    "an address that is an option": ({".gitmodules": BAD_URL}, "gitmodulesUrl"),
    "a name that climbs": ({".gitmodules": BAD_NAME}, "gitmodulesName"),
    "in a folder": ({"deep/down/.gitmodules": BAD_URL}, "gitmodulesUrl"),
    "in other letters": ({".GitModules": BAD_URL}, "gitmodulesUrl"),
    "by its short name on NTFS": ({"GI7EBA~1": BAD_URL}, "gitmodulesUrl"),
    "as HFS+ reads it": ({".git\u200cmodules": BAD_URL}, "gitmodulesUrl"),
    "a folder in its place": ({".gitmodules/x": "x\n"}, "gitmodulesBlob"),
    "attributes of a long line": ({".gitattributes": "*." + "x" * 3000 + " text\n"}, "gitattributesLineLength"),
}


def clone_checked(repo, name):
    url = f"file://{repo.path}"
    done = subprocess.run(
        [
            "git",
            "-c",
            "fetch.fsckObjects=true",
            "clone",
            "-q",
            "--no-local",
            "--single-branch",
            url,
            str(repo.path.parent / name),
        ],
        capture_output=True,
        text=True,
    )
    return done.returncode == 0


@pytest.mark.parametrize("case", CASES)
def test_what_git_refuses_in_a_fetch_does_not_land(repo, case):
    files, word = CASES[case]
    repo.submit("bad", files)
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert (repo.stage("bad"), repo.landings()) == ("rejected", ["good/1"])
    assert "git fsck refuses it" in repo.record("bad").why and word in repo.record("bad").why
    assert clone_checked(repo, "checked")
    # Git itself refuses it, so the test says something.
    repo.git("update-ref", "refs/heads/main", repo.change(files))
    assert not clone_checked(repo, "refused")


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_nor_what_a_later_commit_takes_away(make_repo, strategy):
    repo = make_repo(strategy=strategy)
    bad = repo.change({".gitmodules": BAD_URL, "a.txt": "a\n"})
    repo.submit("bad", {".gitmodules": GOOD}, base=bad)
    repo.drain()
    assert (repo.stage("bad"), repo.landings()) == ("rejected", [])
    assert "gitmodulesUrl" in repo.record("bad").why


def test_what_git_takes_lands(repo):
    files = {".gitmodules": GOOD, "sub/.gitattributes": "*.txt text\n", ".gitignore": "out/\n", ".github/x": "x\n", "g~": "g\n"}
    for n, (path, text) in enumerate(files.items()):
        repo.submit(f"good-{n}", {path: text})
    repo.drain()
    assert sorted(repo.landings()) == [f"good-{n}/1" for n in range(len(files))]
    assert clone_checked(repo, "checked")
    git(repo.path.parent / "checked", "fsck", "--strict")
