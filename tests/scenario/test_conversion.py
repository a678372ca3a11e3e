"""What agents and gates see, and what lands, is what the user's own Git makes of it: over a generated matrix of settings."""

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from agentctl.core.queue.records import reason_kind
from agentctl.engine import process_tree
from agentctl.fleet import agents
from agentctl.gate import slots
from agentctl.git import conversion
from agentctl.hub.policy_file import read_policy
from tests.support.hub import PATIENCE, command, environment, eventually, git, write

TEXTS = {
    "lf": b"a\nb\n",
    "crlf": b"a\r\nb\r\n",
    "mixed": b"a\nb\r\n",
    "bare": b"a",
    "empty": b"",
    "binary": b"a\0\r\nb\n",
    "latin": "ä\n".encode("latin-1"),
}
ATTRIBUTES = (
    "",
    "* text=auto\n",
    "*.txt text\n",
    "*.txt text eol=crlf\n*.bin -text\n",
    "*.txt -text\n",
    "*.txt eol=lf\n",
    "*.txt text=auto eol=crlf\n*.bin binary\n",
    "*.txt ident\n",
)
SETTINGS = tuple(
    {"core.autocrlf": crlf, "core.eol": eol}
    for crlf, eol in itertools.product((None, "true", "input", "false"), (None, "lf", "crlf"))
)


def configure(settings):
    conversion._settings.cache_clear()
    for key, value in settings.items():
        if value is not None:
            subprocess.run(["git", "config", "--global", key, value], check=True)


def files(folder):
    """Bytes by path, Git's own folder left out; of links where they lead."""
    found = {}
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if name != ".git"]
        for name in names:
            path = Path(where, name)
            found[str(path.relative_to(folder))] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found


def work(folder):
    """What somebody does in a checkout: new files of all kinds, old ones changed, gone, and with other permissions."""
    folder = Path(folder)
    for ending, (name, data) in itertools.product(("txt", "bin", "none"), TEXTS.items()):
        (folder / "new").mkdir(exist_ok=True)
        (folder / f"new/{name}.{ending}").write_bytes(data)
    (folder / "old/changed.txt").write_bytes(b"other\r\nlines\r\n")
    (folder / "old/gone.txt").unlink()
    (folder / "old/program").chmod(0o755)
    (folder / "link").symlink_to("new/lf.txt")
    shutil.rmtree(folder / "folder")
    (folder / "folder").write_text("a file now\n")
    (folder / "file").unlink()
    (folder / "file").mkdir()
    (folder / "file/inside").write_text("a folder now\n")


OLD = {
    "old/changed.txt": "one\ntwo\n",
    "old/gone.txt": "gone\n",
    "old/program": "run\n",
    "old/same.txt": "the\nsame\n",
    "old/same.bin": "the\nsame\n",
    "folder/a": "a\n",
    "folder/b/c": "c\n",
    "file": "file\n",
}


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_content_is_what_the_users_git_gives(make_repo, tmp_path, attributes):
    repo = make_repo(files={**OLD, ".gitattributes": attributes})
    for number, settings in enumerate(SETTINGS):
        configure({"core.autocrlf": "false", "core.eol": "native", **{k: v for k, v in settings.items() if v}})
        mine = tmp_path / f"mine-{number}"
        git(tmp_path, "clone", "-q", str(repo.path), str(mine))
        tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
        assert files(tree.path) == files(mine), settings
        with slots.slot(repo.hub) as place:
            slots.check_out(place, read_policy(repo.hub, repo.tip), repo.tip)
            assert files(place.path) == files(mine), settings
        work(tree.path)
        work(mine)
        git(mine, "add", "-A")
        with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
            assert repo.hub.objects.commit(there.whole).tree == git(mine, "write-tree").strip(), settings
        agents.remove(repo.hub, "ann", repo.tip)
        shutil.rmtree(mine)


IGNORED = {
    "by the user's excludesFile": lambda home, repo: exclude(home / "mine", "core.excludesFile"),
    "by the user's default excludes": lambda home, repo: exclude(home / ".config/git/ignore", None),
    "by the tree": lambda home, repo: (repo.path / ".gitignore").write_text("litter\nlitter-folder/\n"),
    "by the hub's own excludes": lambda home, repo: (repo.path / ".git/info/exclude").write_text("litter\nlitter-folder/\n"),
}


def exclude(path, key):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("litter\nlitter-folder/\n")
    if key:
        configure({key: str(path)})


@pytest.mark.parametrize("how", IGNORED)
def test_what_the_users_git_ignores_is_no_work(repo, sealed, monkeypatch, how):
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM", raising=False)
    IGNORED[how](sealed, repo)
    conversion._settings.cache_clear()
    if how == "by the tree":
        git(repo.path, "add", "-A")
        git(repo.path, "commit", "-q", "-m", "ignore")
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    write(Path(tree.path), {"litter": "x", "litter-folder/a": "x", "work": "x"})
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert there.files.added == ("work",)


def test_what_an_agent_hides_from_its_own_git_is_work(repo):
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    write(Path(tree.path), {".git/info/exclude": "hidden\n", "hidden": "x", "README": "changed\n", "check.sh": "changed\n"})
    git(tree.path, "update-index", "--assume-unchanged", "README")
    git(tree.path, "update-index", "--skip-worktree", "check.sh")
    assert git(tree.path, "status", "--porcelain") == ""
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert (there.files.added, there.files.changed) == (("hidden",), ("README", "check.sh"))


def test_what_an_agents_sparse_checkout_leaves_out_is_not_gone(make_repo):
    repo = make_repo(files={"a/one": "1\n", "b/two": "2\n"})
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    git(tree.path, "sparse-checkout", "set", "a")
    assert not os.path.exists(tree.path + "/b")
    write(Path(tree.path), {"a/one": "more\n"})
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert there.files.dirty == ("a/one",)


def test_line_endings_that_a_checkout_makes_are_nobodys_change(make_repo):
    # The blob holds CRLF although the attributes say text: Git takes the file for changed as soon as it looks twice.
    repo = make_repo(files={"legacy.bat": "a\r\nb\r\n"})
    (repo.path / ".gitattributes").write_text("*.bat text eol=crlf\n")
    git(repo.path, "add", ".gitattributes")
    git(repo.path, "commit", "-q", "-m", "attributes")
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    os.utime(tree.path + "/legacy.bat")
    assert git(tree.path, "status", "--porcelain") == " M legacy.bat\n"
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert there.empty
    write(Path(tree.path), {"legacy.bat": "a\nb\nc\n"})
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert there.files.changed == ("legacy.bat",)


FILTER = """\
#!/usr/bin/env python3
# A filter of the protocol that Git LFS speaks (gitattributes(5), "Long Running Filter Process").
import hashlib, os, sys

STORE = sys.argv[1]

def packet():
    size = int(sys.stdin.buffer.read(4) or b"0000", 16)
    return sys.stdin.buffer.read(size - 4) if size else None

def until_flush():
    found = []
    while (part := packet()) is not None:
        found.append(part)
    return found

def say(*lines):
    for line in lines:
        for at in range(0, len(line), 65516):
            part = line[at:at + 65516]
            sys.stdout.buffer.write(b"%04x" % (len(part) + 4) + part)
    sys.stdout.buffer.write(b"0000")
    sys.stdout.buffer.flush()

until_flush()
say(b"git-filter-server\\n", b"version=2\\n")
until_flush()
say(b"capability=clean\\n", b"capability=smudge\\n")
while True:
    head = packet()
    if not head:
        break
    command = head.strip().partition(b"=")[2]
    until_flush()
    data = b"".join(until_flush())
    if command == b"clean" and not data.startswith(b"POINTER "):
        name = hashlib.sha1(data).hexdigest()
        open(os.path.join(STORE, name), "wb").write(data)
        data = b"POINTER " + name.encode() + b"\\n"
    elif command == b"smudge" and data.startswith(b"POINTER "):
        data = open(os.path.join(STORE, data.split()[1].decode()), "rb").read()
    say(b"status=success\\n")
    say(data)
    say()
"""


def test_a_filter_process_of_the_user_is_run_both_ways(make_repo, sealed):
    program, store = sealed / "filter.py", sealed / "store"
    store.mkdir()
    program.write_text(FILTER)
    program.chmod(0o755)
    configure({"filter.big.process": f"{program} {store}", "filter.big.required": "true"})
    repo = make_repo(gate="grep -q REAL data.big", files={".gitattributes": "*.big filter=big -text\n", "data.big": "REAL\n"})
    assert repo.show("data.big").startswith("POINTER ")
    through_a_filter(repo, "POINTER ")
    assert repo.show("added.big").startswith("POINTER ")


WAITS = """\
#!/bin/sh
# As a smudge filter whose server does not answer, for some content.
content=$(cat; echo .)
case $content in *ELSEWHERE*) echo $$ >>"$0.waits"; exec sleep 1000;; esac
printf %s "${content%.}"
"""


def a_server_that_does_not_answer(make_repo, sealed, timeout):
    program = sealed / "waits"
    program.write_text(WAITS)
    program.chmod(0o755)
    configure({"filter.far.clean": "cat", "filter.far.smudge": str(program), "filter.far.required": "true"})
    repo = make_repo(timeout=timeout, files={".gitattributes": "*.far filter=far\n", "data.far": "here\n"})
    repo.submit("far", {"far.far": "ELSEWHERE\n"}, agent="far")
    return repo, program


def waiting(program):
    """Processes of the filter that were begun to wait: how many, and which of them still do."""
    said = Path(f"{program}.waits")
    pids = said.read_text().split() if said.exists() else []
    return len(pids), [pid for pid in pids if process_tree.state(pid) and process_tree.state(pid)[0] != b"Z"]


def test_a_filter_that_waits_for_ever_fails_the_change_that_needs_it(make_repo, sealed):
    repo, program = a_server_that_does_not_answer(make_repo, sealed, "2s")
    repo.submit("near", {"near.far": "here too\n"})
    repo.drain()
    assert repo.stages() == {"far/1": "rejected", "near/1": "landed"}
    record = repo.record("far")
    assert reason_kind(record) == "gate" and record.why.startswith("slot: its files cannot be laid out")
    assert "did not end within" in str(repo.answer("far"))
    begun, left = waiting(program)
    assert begun and not left


def test_a_stop_is_heard_while_a_slot_is_laid_out(make_repo, sealed):
    repo, program = a_server_that_does_not_answer(make_repo, sealed, "900s")
    with subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL) as bot:
        eventually(lambda: waiting(program)[0])
        bot.terminate()
        assert bot.wait(PATIENCE) == 128 + signal.SIGTERM
    assert repo.stages() == {"far/1": "queued"}
    assert waiting(program)[1] == []


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_git_lfs(make_repo):
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, capture_output=True)
    repo = make_repo(
        gate="grep -q REAL data.big",
        files={".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n", "data.big": "REAL\n"},
    )
    assert repo.show("data.big").startswith("version https://git-lfs")
    through_a_filter(repo, "version https://git-lfs")
    # The agent's own Git stores its large files where everybody's are.
    tree, _ = agents.prepare(repo.hub, "bob", repo.tip, "main")
    write(Path(tree.path), {"own.big": "REAL and own\n"})
    git(tree.path, "add", "-A")
    git(tree.path, "commit", "-q", "-m", "own")
    with agents.found(repo.hub, "bob", tree, repo.tip, "work\n") as there:
        repo.hand_in("own", there.head)
    repo.drain()
    assert (repo.path / "own.big").read_text() == "REAL and own\n"


def through_a_filter(repo, pointer):
    """An agent sees content, its uncommitted files land as pointers, gates and the checkout see content."""
    conversion._settings.cache_clear()
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert Path(tree.path, "data.big").read_text() == "REAL\n"
    write(Path(tree.path), {"added.big": "NEW AND REAL\n", "data.big": "REAL still\n"})
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert repo.show("added.big", there.whole).startswith(pointer)
        repo.hand_in("work", there.whole)
    repo.drain()
    assert repo.landings() == ["work/1"]
    assert (repo.path / "added.big").read_text() == "NEW AND REAL\n"
    assert repo.git("status", "--porcelain") == ""


def test_a_filter_that_only_the_hub_knows_is_not_run(make_repo, tmp_path):
    # Whoever can write the hub's configuration would have a program run by everybody.
    repo = make_repo(files={".gitattributes": "*.txt filter=evil\n", "a.txt": "a\n"})
    repo.git("config", "filter.evil.smudge", f"touch {tmp_path}/ran; cat")
    repo.git("config", "filter.evil.clean", f"touch {tmp_path}/ran; cat")
    (repo.path / "a.txt").unlink()
    repo.git("checkout", "a.txt")
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    conversion._settings.cache_clear()
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    write(Path(tree.path), {"b.txt": "b\n"})
    agents.remove(repo.hub, "ann", repo.tip)
    repo.submit("c", {"c.txt": "c\n"})
    repo.drain()
    assert not (tmp_path / "ran").exists()
    assert conversion.alien_filters(repo.hub) == {"evil"}


CRYPT = """\
#!/bin/sh
# As git-crypt: set up by a command of its own in each repository, nowhere else.
git config filter.crypt.clean "sed s/^secret/locked/"
git config filter.crypt.smudge "sed s/^locked/secret/"
git config filter.crypt.required true
rm -f .git/index
git checkout -q HEAD -- .
"""


def test_what_only_a_repositorys_own_filter_unlocks_is_never_handed_in(make_repo, tmp_path, sealed):
    unlock = sealed / "unlock"
    unlock.write_text(CRYPT)
    unlock.chmod(0o755)
    repo = make_repo(files={".gitattributes": "*.key filter=crypt\n", "a.key": "locked a\n", "b.key": "locked b\n"})
    subprocess.run([unlock], cwd=repo.path, check=True)
    assert (repo.path / "a.key").read_text() == "secret a\n" and repo.git("status", "--porcelain") == ""
    conversion._settings.cache_clear()
    conversion._of_hub.cache_clear()
    # An agent unlocks its worktree, edits, and commits nothing.
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert Path(tree.path, "a.key").read_text() == "locked a\n"
    subprocess.run([unlock], cwd=tree.path, check=True)
    write(Path(tree.path), {"new.txt": "new\n", "new.key": "secret new\n"})
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        assert there.files.hidden == ("a.key", "b.key", "new.key") and there.files.dirty == ("new.txt",)
        repo.hand_in("work", there.whole)
    # What it commits is as its own Git makes it.
    git(tree.path, "add", "new.key")
    git(tree.path, "commit", "-q", "-m", "a key", "--", "new.key")
    with agents.found(repo.hub, "ann", tree, repo.tip, "work\n") as there:
        repo.hand_in("key", there.head)
    aside = agents.remove(repo.hub, "ann", repo.tip)
    assert Path(aside, "b.key").read_text() == "secret b\n"
    # The checkout of trunk is clean to its own Git, and so it is to the bot.
    os.utime(repo.path / "b.key")
    repo.drain()
    assert sorted(repo.landings()) == ["key/1", "work/1"]
    assert (repo.path / "new.txt").exists() == (repo.landings()[0] == "work/1")
    assert "secret" not in repo.git("log", "--all", "-p", "--no-textconv", "--no-ext-diff", "--format=", "--", "*.key")
    # What the bot cannot write, its own Git can: as doctor says.
    said = repo.cli("doctor", ok=9).stdout
    assert "new.key" in said and "filter" in said
    assert "only its own Git can write new.key" in repo.cli("doctor", "--mend", "checkout", ok=9).stdout
    line = next(line for line in said.splitlines() if "read-tree" in line)
    subprocess.run(["sh", "-c", line[line.index("git ") :]], cwd=tmp_path, check=True)
    assert (repo.path / "new.key").read_text() == "secret new\n" and (repo.path / "new.txt").exists()
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "path, attributes, conflicts",
    [
        ("log", {".gitattributes": "log merge=union\n"}, False),
        ("a/b/log", {"a/.gitattributes": "log merge=union\n", "a/b/.gitattributes": "other -merge\n"}, False),
        ("a/b/log", {".gitattributes": "log merge=union\n", "a/b/.gitattributes": "log !merge\n"}, True),
        ("log", {"a/.gitattributes": "log merge=union\n"}, True),
    ],
)
def test_changes_are_merged_by_the_attributes_of_trunk(make_repo, tmp_path, path, attributes, conflicts):
    repo = make_repo(files={path: "log\n", "a/b/other": "x\n", **attributes})
    base = repo.tip
    for name in ("one", "two"):
        git(repo.path, "branch", name, repo.submit(name, {path: f"log\n{name}\n"}, base=base))
    git(tmp_path, "clone", "-q", str(repo.path), "mine")
    git(tmp_path / "mine", "merge", "-q", "--no-edit", "origin/one")
    plain = subprocess.run(["git", "merge", "-q", "--no-edit", "origin/two"], cwd=tmp_path / "mine", capture_output=True)
    repo.drain()
    assert bool(plain.returncode) == conflicts == ("rejected" in repo.stages().values())
    if not conflicts:
        assert sorted(repo.show(path)) == sorted((tmp_path / "mine" / path).read_text())
