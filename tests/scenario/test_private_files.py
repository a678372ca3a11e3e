"""What agentctl makes is nobody else's to look into, whatever the umask was."""

import os
import stat
import subprocess

import pytest

from agentctl.git import modes
from tests.support import agents
from tests.support.hub import command, environment


def call(repo, umask, *words, ok=(0,)):
    done = subprocess.run(command(*words), cwd=repo.path, env=environment(), umask=umask, capture_output=True, text=True)
    assert done.returncode in ok, done.stderr


def permissions(top):
    """(path, mode) of the folder and all below it; not of links, whose mode says nothing."""
    yield str(top), stat.S_IMODE(os.lstat(top).st_mode)
    for where, folders, files in os.walk(top):
        for path in (os.path.join(where, name) for name in folders + files):
            if not os.path.islink(path):
                yield path, stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize("umask", [0, 0o022])
def test_all_that_a_run_leaves_is_private(make_repo, umask):
    repo = make_repo(gate="'umask; touch made; stat -c %a made; echo hush >$TMPDIR/scratch; sh check.sh'")
    agents.add(repo, "good", "bad")
    script = f"umask; {agents.WORK}; [ $AGENTCTL_TASK != bad ] || echo BUG >bug; git add -A; git commit -qm more"
    call(repo, umask, "run", "--keep", "--attempts", "2", "--", "sh", "-c", script, ok=(7,))
    call(repo, umask, "spawn", "ann", "--prompt", "hush", "--", "sh", "-c", "echo hush; cat >dirty", ok=(0,))
    call(repo, umask, "test")
    call(repo, umask, "queue", "pause")
    own = dict(permissions(repo.hub.own))
    for name in ("prompt.md", "output.log", "verdict.json", "gate.log"):
        assert any(path.endswith("/" + name) for path in own), name
    assert any("/logs/gate/" in path for path in own) and any(path.endswith(".lock") for path in own)
    assert {path: oct(mode) for path, mode in own.items() if mode & 0o077} == {}
    trees = repo.hub.worktrees
    folders = [trees, *(os.path.join(trees, name) for name in os.listdir(trees) if name != "hub")]
    folders += [os.path.join(folder, name) for folder in folders[1:] for name in os.listdir(folder)]
    assert len(folders) >= 4
    assert {path for path in folders if os.lstat(path).st_mode & 0o077} == set()
    # The umask of gates and agents is the caller's: what they test may depend on it.
    logs = [open(path).read() for path in own if path.endswith(".log") and os.path.isfile(path)]
    assert any(f"{umask:04o}\n{0o666 & ~umask:o}\n" in text for text in logs)


def test_folders_of_an_older_version_are_closed(repo):
    for folder in (repo.hub.own, repo.hub.worktrees + "/slots"):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
    repo.submit("fix", {"a": "1\n"})
    repo.drain()
    repo.cli("test")
    assert os.stat(repo.hub.own).st_mode & 0o077 == 0


def test_a_folder_of_the_users_choice_is_left_as_it_is(repo, tmp_path):
    (tmp_path / "wide").mkdir(mode=0o755)
    repo.git("config", "agentctl.worktrees", str(tmp_path / "wide"))
    repo.cli("spawn", "ann", "--prompt", "x", "--", "sh", "-c", "echo 1 >a")
    assert stat.S_IMODE((tmp_path / "wide").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "wide/agents").stat().st_mode) == 0o700


def test_what_a_link_leads_to_is_left_as_it_is(tmp_path):
    (tmp_path / "other").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("other")
    modes.narrow(str(tmp_path / "link"))
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o755
