"""Hooks guard trunk whatever it is called, and are written nowhere but in the repository itself."""

import json
import os
import subprocess

import pytest

from tests.support.hub import ROOT, cli, command, git, write


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Git starts the hooks, and these start agentctl."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def commit(folder, *extra, **env):
    return subprocess.run(
        ["git", "commit", "--allow-empty", "-m", "x", *extra], cwd=folder, text=True, capture_output=True, env=os.environ | env
    )


def begun(tmp_path, trunk):
    git(tmp_path, "init", "-q", "-b", trunk, "hub")
    write(tmp_path / "hub", {"Makefile": "test:\n\ttrue\n"})
    git(tmp_path / "hub", "add", "-A")
    git(tmp_path / "hub", "commit", "-qm", "begin")
    cli("init", cwd=tmp_path / "hub")
    return tmp_path / "hub"


@pytest.mark.parametrize("trunk", ["main", "master", "develop", "release/1.0", "größe", "a'b"])
@pytest.mark.parametrize("committed", [True, False], ids=["with a policy", "before it is committed"])
def test_trunk_is_guarded_whatever_it_is_called(tmp_path, trunk, committed):
    hub = begun(tmp_path, trunk)
    if committed:
        git(hub, "add", "-A")
        git(hub, "commit", "-qm", "policy")
    cli("hook", "install", "--guard-trunk", cwd=hub)
    assert "goes around the merge queue" in commit(hub).stderr
    assert "only the merge queue moves" in commit(hub, "--no-verify").stderr
    git(hub, "switch", "-qc", "mine")
    assert commit(hub).returncode == 0


def test_a_clone_that_was_never_initialised_is_guarded(tmp_path):
    hub = begun(tmp_path, "develop")
    git(hub, "add", "-A")
    git(hub, "commit", "-qm", "policy")
    git(tmp_path, "clone", "-q", str(hub), "clone")
    cli("hook", "install", cwd=tmp_path / "clone")
    assert "goes around the merge queue" in commit(tmp_path / "clone").stderr


def test_a_repository_without_trunk_gets_no_hooks(tmp_path):
    git(tmp_path, "init", "-q", "-b", "other", "plain")
    commit(tmp_path / "plain")
    assert "hint: agentctl init" in cli("hook", "install", cwd=tmp_path / "plain", ok=3).stderr
    assert commit(tmp_path / "plain").returncode == 0


def test_a_folder_that_all_repositories_share_is_left_alone(repo, make_repo, sealed):
    shared, other = sealed / "ghooks", make_repo("other")
    shared.mkdir()
    git(repo.path, "config", "--global", "core.hooksPath", str(shared))
    said = repo.cli("hook", "install", ok=5).stderr
    assert list(shared.iterdir()) == [] and str(shared) in said
    assert commit(other.path).returncode == 0

    # What the hint says works as it stands.
    hint = said.split("\nhint: ")[1].split(" && ")[0]
    subprocess.run(["sh", "-c", hint], cwd=repo.path, check=True)
    repo.cli("hook", "install")
    assert "goes around" in commit(repo.path).stderr
    assert list(shared.iterdir()) == [] and commit(other.path).returncode == 0


def test_a_folder_of_the_project_is_left_alone(repo):
    write(repo.path, {".husky/pre-commit": "exit 0\n"})
    git(repo.path, "config", "core.hooksPath", ".husky")
    assert "core.hooksPath leads to" in repo.cli("hook", "install", ok=5).stderr
    assert [path.name for path in (repo.path / ".husky").iterdir()] == ["pre-commit"]


def test_what_an_older_version_wrote_elsewhere_is_removed(repo, tmp_path):
    repo.cli("hook", "install")
    os.rename(repo.path / ".git/hooks/pre-commit", tmp_path / "pre-commit")
    git(repo.path, "config", "core.hooksPath", str(tmp_path))
    assert set(json.loads(repo.cli("hook", "uninstall", "--json").stdout)) == {"pre-commit", "pre-push"}
    assert not (tmp_path / "pre-commit").exists() and not (repo.path / ".git/hooks/pre-push").exists()


def test_the_hook_of_an_agent_in_a_repository_of_its_own(repo, tmp_path):
    # There is no configuration, and its branch is agent/ann.
    git(tmp_path, "clone", "-q", str(repo.path), "own")
    own = tmp_path / "own"
    repo.cli("hook", "install")
    for name in ("pre-commit", "pre-push"):
        write(own, {f".git/hooks/{name}": (repo.path / f".git/hooks/{name}").read_text()})
        (own / f".git/hooks/{name}").chmod(0o755)
    assert "not on its own branch" in commit(own, AGENTCTL_AGENT="ann").stderr
    git(own, "switch", "-qc", "agent/ann")
    assert commit(own, AGENTCTL_AGENT="ann").returncode == 0
    assert "not on its own branch" in commit(own, AGENTCTL_AGENT="bob").stderr
    push = subprocess.run(
        ["git", "push", "origin", "HEAD:refs/heads/x"],
        cwd=own,
        text=True,
        capture_output=True,
        env=os.environ | {"AGENTCTL_AGENT": "ann"},
    )
    assert "does not push" in push.stderr


def test_an_agent_that_mends_a_conflict_of_its_rebase_is_on_its_branch(repo):
    repo.cli("hook", "install")
    git(repo.path, "switch", "-qc", "agent/ann")
    git(repo.path, "update-ref", "refs/heads/other", repo.change({"README": "other\n"}))
    write(repo.path, {"README": "mine\n"})
    assert commit(repo.path, "-a", AGENTCTL_AGENT="ann").returncode == 0
    subprocess.run(["git", "rebase", "-q", "other"], cwd=repo.path, capture_output=True)
    write(repo.path, {"README": "both\n"})
    assert commit(repo.path, "-a", AGENTCTL_AGENT="ann").returncode == 0
    assert "not on its own branch" in commit(repo.path, AGENTCTL_AGENT="bob").stderr


def test_names_that_are_no_text_do_no_harm(repo):
    line = b"0 1 refs/heads/\xff\n0 1 refs/heads/main\n"
    done = subprocess.run(command("hook", "run", "reference-transaction"), cwd=repo.path, input=line, capture_output=True)
    assert done.returncode == 5 and b"only the merge queue moves" in done.stderr
