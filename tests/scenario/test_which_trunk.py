"""Which branch is trunk: the one whose policy says so, whatever it is called and wherever one stands."""

import subprocess

import pytest

from agentctl.errors import AgentctlError
from agentctl.git.repository import find
from agentctl.hub.policy_file import in_force
from tests.support.hub import cli, git, policy, write


@pytest.fixture
def develop(tmp_path):
    """A repository whose trunk is called develop, made by `init` and committed."""
    folder = tmp_path / "first"
    git(tmp_path, "init", "-q", "-b", "develop", "first")
    write(folder, {"Makefile": "test:\n\ttrue\n"})
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin")
    cli("init", cwd=folder)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "policy")
    return folder


def clone(folder, *options):
    git(folder.parent, "clone", "-q", *options, str(folder), "clone")
    return folder.parent / "clone"


def trunk(folder):
    """The trunk by which a command goes."""
    return in_force(find(str(folder)))[1].trunk


def refused(folder, words):
    """The hint that comes with a refusal in these words."""
    with pytest.raises(AgentctlError, match=words) as caught:
        trunk(folder)
    return caught.value.hint


def test_a_clone_works_at_once(develop):
    there = clone(develop)
    cli("task", "add", "--id", "one", "Do one", cwd=there)
    done = cli("run", "-n", "1", "--", "sh", "-c", "echo one >one.txt", cwd=there)
    assert "1 of 1 landed" in done.stdout and (there / "one.txt").exists()


def test_on_a_branch_of_ones_own(develop):
    there = clone(develop)
    git(there, "switch", "-qc", "mine")
    git(there, "commit", "-qm", "mine", "--allow-empty")
    assert trunk(there) == "develop"


def test_with_nothing_checked_out(develop):
    there = clone(develop)
    git(there, "switch", "-q", "--detach")
    assert trunk(there) == "develop"


def test_a_bare_clone(develop):
    assert trunk(clone(develop, "--bare")) == "develop"


def test_a_clone_with_a_branch_alone_is_told_how_to_get_trunk(develop):
    git(develop, "branch", "mine")
    there = clone(develop, "-b", "mine")
    hint = refused(there, "names 'develop' as trunk, and there is no such branch here")
    assert hint == "git branch develop origin/develop"
    git(there, *hint.split()[1:])
    assert trunk(there) == "develop"


def test_a_main_without_a_policy_is_not_trunk(develop):
    empty = git(develop, "commit-tree", "-m", "empty", git(develop, "hash-object", "-t", "tree", "-w", "/dev/null").strip())
    git(develop, "branch", "main", empty.strip())
    git(develop, "config", "--unset", "agentctl.trunk")
    git(develop, "switch", "-q", "--detach")
    assert trunk(develop) == "develop"


def test_a_policy_on_main_leads_to_trunk(make_repo):
    repo = make_repo(trunk="develop")
    refused(repo.path, "there is no such branch here")
    repo.git("branch", "develop")
    assert trunk(repo.path) == "develop"


def test_two_branches_that_name_each_other_are_refused(make_repo):
    repo = make_repo(trunk="develop")
    repo.git("branch", "develop", repo.change({".agentctl/policy.yaml": policy(trunk="main")}))
    refused(repo.path, "the policy on main says that trunk is develop, and the one there that it is main")


def test_two_branches_that_each_name_themselves_are_told(make_repo):
    repo = make_repo(trunk="one")
    repo.git("branch", "-m", "main", "one")
    git(repo.path, "switch", "-q", "-c", "two")
    write(repo.path, {".agentctl/policy.yaml": policy(trunk="two")})
    repo.git("commit", "-qam", "two")
    git(repo.path, "switch", "-q", "--detach")
    hint = refused(repo.path, "each of these branches calls itself trunk: one, two")
    assert hint == "git config agentctl.trunk one"
    git(repo.path, *hint.split()[1:])
    assert trunk(repo.path) == "one"


def test_a_repository_without_any_policy(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "bare")
    git(tmp_path / "bare", "commit", "-qm", "x", "--allow-empty")
    assert refused(tmp_path / "bare", "there is no .agentctl/policy.yaml on main").startswith("agentctl init")


def test_init_on_another_branch_says_where_the_policy_belongs(tmp_path):
    hub = tmp_path / "hub"
    git(tmp_path, "init", "-q", "hub")
    git(hub, "commit", "-q", "--allow-empty", "-m", "begin")
    git(hub, "switch", "-q", "-c", "develop")
    said = cli("init", "--gate", "true", cwd=hub).stdout
    assert "trunk is main, and develop is checked out" in said
    assert "on main" in cli("spawn", "a", "--", "true", cwd=hub, ok=3).stderr
    subprocess.run(["sh", "-ec", "\n".join(line for line in said.splitlines() if line.startswith("  git "))], cwd=hub, check=True)
    assert "the queue is empty" in cli("queue", cwd=hub).stdout
