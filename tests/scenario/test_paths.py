"""A repository may lie anywhere, and what is printed about it can be typed as it stands."""

import json
import os
import subprocess

import pytest

from tests.scenario.test_doctor import typed
from tests.support.hub import Repo, cli, git, write

FOLDERS = ("a b", "it's", 'q"x$HOME`', "ünïcode", "new\nline", "col:on", "-dash", "%s{x}", "#hash", "*", "back\\slash", "tab\t")
OFTEN = ("it's", 'q"x$HOME`', "ünïcode", "new\nline", "-dash")


@pytest.fixture(
    params=[name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in FOLDERS],
    ids=[ascii(name) for name in FOLDERS],
)
def odd(request, tmp_path):
    (tmp_path / request.param).mkdir()
    return Repo.create(tmp_path / request.param / request.param)


def test_everything_works_there(odd, tmp_path):
    odd.cli("task", "add", "--id", "one", "Do one")
    assert "1 of 1 landed" in odd.cli("run", "-n", "1", "--", "sh", "-c", "echo one >one.txt").stdout
    odd.submit("bad", {"bad.txt": "BUG\n"})
    odd.drain()
    assert (odd.stage("one"), odd.stage("bad")) == ("landed", "rejected")
    odd.cli("spawn", "ann", "--", "sh", "-c", "echo ann >ann.txt")
    odd.cli("rm", "ann")
    assert (odd.path / "one.txt").read_text() == "one\n"
    odd.cli("hook", "install")
    assert json.loads(odd.cli("doctor", "--json").stdout) == []
    odd.proven()


def test_what_is_printed_can_be_typed_from_anywhere(odd, tmp_path):
    write(odd.path, {"README": "mine\n"})
    elsewhere = Repo(odd.path)
    elsewhere.path = tmp_path
    told = cli("-C", odd.path, "doctor", "--json", cwd=tmp_path, ok=9)
    [finding] = json.loads(told.stdout)
    typed(elsewhere, finding["mend"], tmp_path)
    assert git(odd.path, "symbolic-ref", "--short", "HEAD") == "edits-1\n" and (odd.path / "README").read_text() == "mine\n"

    (odd.path / ".git/refs/heads/half").write_text("")
    [finding] = json.loads(cli("-C", odd.path, "doctor", "--json", cwd=tmp_path, ok=9).stdout)
    typed(elsewhere, finding["mend"], tmp_path)
    assert json.loads(cli("-C", odd.path, "doctor", "--json", cwd=tmp_path).stdout) == []


def test_through_a_link(repo, tmp_path):
    os.symlink(repo.path, tmp_path / "li nk")
    repo.submit("one", {"one.txt": "one\n"})
    cli("bot", "run", "--once", cwd=tmp_path / "li nk")
    assert repo.stage("one") == "landed"
    assert "all well" in cli("doctor", cwd=tmp_path / "li nk").stdout


def test_names_that_are_no_text(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/raw\xff")
    os.mkdir(folder)
    repo = Repo.create(folder)
    repo.submit("one", {"one.txt": "one\n"})
    assert "one/1" in repo.cli("queue").stdout
    write(repo.path, {"README": "mine\n"})
    done = subprocess.run(["sh", "-c", json.loads(repo.cli("doctor", "--json", ok=9).stdout)[0]["mend"]], cwd="/")
    assert done.returncode == 0
