"""The hub's own configuration names programs, and none of them is run by a Git that we call.

Each is planted, shown to be run by Git as people call it, and stays while bot and commands work.
"""

import os
import subprocess
import sys

import pytest

from tests.support.hub import finish

LINES = "".join(f"line {n}\n" for n in range(12))
ATTRIBUTES = "*.md merge=mine diff=mine\n*.log diff=other\n"


@pytest.fixture
def planted(make_repo, tmp_path):
    return Planted(make_repo(files={".gitattributes": ATTRIBUTES, "a.md": LINES, "x.log": LINES, "u.txt": LINES}), tmp_path)


class Planted:
    """A hub, and programs that leave a mark when they are run."""

    def __init__(self, repo, tmp_path):
        self.repo, self.tmp = repo, tmp_path
        self.marks = tmp_path / "marks"
        self.marks.mkdir()
        self.controls = []

    def program(self, name, body=""):
        path = self.tmp / f"{name}.sh"
        path.write_text(f"#!/bin/sh\ntouch {self.marks}/{name}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def config(self, **values):
        for key, value in values.items():
            self.repo.git("config", key.replace("__", "."), str(value))

    def control(self, name, *words):
        """Git as people call it runs the program."""
        subprocess.run(["git", *words], cwd=self.repo.path, capture_output=True, timeout=60)
        assert self.ran() == [name], f"git {' '.join(words)} does not run what is planted"
        (self.marks / name).unlink()
        self.controls.append(name)

    def ran(self):
        return sorted(os.listdir(self.marks))


def gpg(p):
    tip, objects = p.repo.tip, p.repo.hub.objects
    signed = (
        b"tree %s\nparent %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n"
        b" x\n -----END PGP SIGNATURE-----\n\nsigned\n" % (objects.commit(tip).tree.encode(), tip.encode())
    )
    p.repo.git("update-ref", "refs/heads/main", objects.store.write(b"commit", signed))
    p.config(gpg__program=p.program("gpg"), log__showSignature="true")
    p.control("gpg", "log", "-1")


def merge_driver(p):
    p.config(merge__mine__driver=p.program("merge") + " %A", merge__default="mine")
    one, two = p.repo.change({"a.md": LINES + "1\n"}), p.repo.change({"a.md": "0\n" + LINES})
    p.repo.git("checkout", "-q", "--detach", one)
    p.control("merge", "merge", "-q", "-m", "x", two)
    p.repo.git("checkout", "-q", "-f", "main")


def textconv(p):
    p.config(diff__mine__textconv=p.program("textconv", 'cat "$1"'))
    p.control("textconv", "diff", p.repo.tip, p.repo.change({"a.md": "new\n"}), "--", "a.md")


def diff_driver(p):
    p.config(diff__other__command=p.program("command"))
    p.control("command", "diff", p.repo.tip, p.repo.change({"x.log": "new\n"}), "--", "x.log")


def external_diff_from_an_included_file(p):
    included = p.tmp / "included"
    included.write_text(f"[diff]\n\texternal = {p.program('external')}\n")
    p.config(include__path=included)
    p.control("external", "diff", p.repo.tip, p.repo.change({"u.txt": "new\n"}), "--", "u.txt")


def monitor(p):
    p.config(core__fsmonitor=p.program("fsmonitor"))
    p.control("fsmonitor", "status")


def hooks(p):
    folder = p.tmp / "hooks"
    folder.mkdir()
    os.symlink(p.program("hook"), folder / "reference-transaction")
    p.config(core__hooksPath=folder)
    p.control("hook", "update-ref", "refs/heads/x", p.repo.tip)


def alternate_refs(p):
    other = p.tmp / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    (p.repo.path / ".git/objects/info/alternates").write_text(f"{other}/objects\n")
    p.config(core__alternateRefsCommand=p.program("alternates"))
    p.control("alternates", "rev-list", "--alternate-refs", "-n1")


def a_remote_that_has_what_is_missing(p):
    far = p.tmp / "far.git"
    subprocess.run(["git", "init", "-q", "--bare", str(far)], check=True)
    p.config(
        core__repositoryFormatVersion=1,
        extensions__partialClone="far",
        remote__far__url=far,
        remote__far__promisor="true",
        remote__far__uploadpack=p.program("uploadpack"),
    )
    p.control("uploadpack", "cat-file", "-p", "1" * 40)


def trailers(p):
    p.config(trailer__sign__key="Signed", trailer__sign__command=p.program("trailer"))
    message = p.tmp / "message"
    message.write_text("x\n")
    p.control("trailer", "interpret-trailers", str(message))


PLANTS = (
    gpg,
    merge_driver,
    textconv,
    diff_driver,
    external_diff_from_an_included_file,
    monitor,
    hooks,
    alternate_refs,
    a_remote_that_has_what_is_missing,
    trailers,
)


def test_none_of_it_is_run(planted):
    repo, p = planted.repo, planted
    for plant in PLANTS:
        plant(p)
    assert len(p.controls) == len(PLANTS)
    base = repo.tip
    repo.git("reset", "-q", "--hard", base)
    (p.marks / "hook").unlink(missing_ok=True)
    (p.marks / "fsmonitor").unlink(missing_ok=True)
    assert p.ran() == []

    # Merges and conflicts in each kind of file, a stack, a head that lacks an object, an answer, a revert.
    repo.submit("top", {"a.md": "0\n" + LINES, "x.log": "0\n" + LINES, "u.txt": "0\n" + LINES}, base=base)
    repo.drain()
    repo.submit("end", {"a.md": LINES + "12\n", "x.log": LINES + "12\n"}, base=base)
    repo.submit("clash", {"a.md": "zero\n" + LINES, "x.log": "zero\n" + LINES, "u.txt": "zero\n" + LINES}, base=base)
    repo.submit("bad", {"bad.txt": "BUG\n"})
    lacks = repo.hub.objects.write_commit("2" * 40, [base], "lacks its tree\n", 1)
    repo.hub.objects.store.flush()
    (repo.path / ".git/refs/agentctl/inbox/ann/lacks").mkdir(parents=True)
    (repo.path / ".git/refs/agentctl/inbox/ann/lacks/1").write_text(lacks + "\n")
    with repo.bot() as bot:
        finish(bot)
    assert repo.stages() == {
        "top/1": "landed",
        "end/1": "landed",
        "clash/1": "rejected",
        "bad/1": "rejected",
        "lacks/1": "rejected",
    }
    assert p.ran() == []
    for words in (
        ["why", "clash", "--log"],
        ["why", "top"],
        ["queue", "--all"],
        ["queue", "bump", "none"],
        ["wait", "top"],
        ["revert", "end"],
        ["withdraw", "revert-end"],
        ["policy", "check"],
        ["task", "list"],
        ["doctor"],
    ):
        subprocess.run([sys.executable, "-m", "agentctl", *words], cwd=repo.path, capture_output=True, timeout=60)
    repo.drain()
    repo.hub.descends(repo.tip, base)
    # `fsmonitor` and hooks of Git as the user calls it (`status` before a submission) are the user's.
    assert [name for name in p.ran() if name not in ("fsmonitor",)] == []
