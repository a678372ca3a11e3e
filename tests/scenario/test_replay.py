"""A small history replayed: a red commit, a merge, a rename, work on one file, and bugs."""

from __future__ import annotations

import json

import pytest

from agentctl.replay import history
from tests.support.hub import CHECK, cli, git, write


GATE = "sh check.sh && ! grep -r --exclude-dir=.agentctl --exclude=.git 'injected into' ."


@pytest.fixture
def source(tmp_path):
    """A repository with a history of its own, never to be written to."""
    path = tmp_path / "source"
    path.mkdir()
    git(path, "init", "-q")

    def commit(message, **files):
        write(path, {name.replace("_", "."): text for name, text in files.items()})
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", message)

    commit("begin", check_sh=CHECK, list_txt="".join(f"line {n}\n" for n in range(9)))
    commit("one", one_txt="one\n")
    commit("red alone", two_txt="a BUG\n")
    commit("mends the one before", two_txt="two\n")
    for n in range(4):
        text = (path / "list.txt").read_text().replace(f"line {n}\n", f"LINE {n}\n")
        commit(f"line {n}", list_txt=text)
    git(path, "switch", "-q", "-c", "side", "HEAD~2")
    commit("aside", side_txt="side\n")
    git(path, "switch", "-q", "-")
    git(path, "merge", "-q", "--no-ff", "-m", "merge the side", "side")
    git(path, "mv", "one.txt", "first.txt")
    git(path, "commit", "-q", "-m", "rename")
    commit("last", first_txt="one and more\n")
    return path


def test_a_replayed_history_ends_as_it_did(source, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tip = git(source, "rev-parse", "HEAD")
    done = cli("--json", "replay", source, "HEAD~10..HEAD", "--gate", GATE, "--agents", "3", "--bad", "25%",
               cwd=tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["commits"] == 10 and result["tasks"] == 9
    outcome = result["as_given"]
    assert outcome["summary"]["landed"] == 9 and outcome["summary"]["rejected"] >= 2
    assert outcome["good"] and not (outcome["differences"] or outcome["unseen"] or outcome["broken"])
    assert git(source, "rev-parse", "HEAD") == tip and "agentctl" not in git(source, "for-each-ref")


def test_a_range_that_is_none(source, tmp_path):
    for words, status in (("HEAD", 2), ("HEAD..HEAD", 2), ("nothing..HEAD", 4)):
        cli("replay", source, words, "--gate", "true", cwd=tmp_path, ok=status)


def test_red_commits_join_those_after_them():
    assert history.group([True, False, False, True, True]) == ([(0,), (1, 2, 3), (4,)], ())
    assert history.group([True, False]) == ([(0,)], (1,))
    assert history.group([]) == ([], ())


def test_which_are_bad_follows_from_the_seed():
    assert history.drawn(20, 1) == history.drawn(20, 1) != history.drawn(20, 2)
    assert sorted(history.drawn(20, 1)) == list(range(20))
