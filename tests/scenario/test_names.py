"""Names do not collide: those of changes, made from branches, and those of files, on trunk too."""

import pytest

from agentctl.core import refnames
from agentctl.core.queue.admission_rules import folded
from agentctl.core.queue.records import reason_kind
from tests.support.hub import write

LONG = "a" * 58
BRANCHES = [f"feature/{LONG}-1", f"feature/{LONG}-2", "größe", "grüße", "x/y", "x-y", "fix"]


@pytest.fixture
def submitted(repo):
    """A change from each branch, named by nobody."""
    for n, branch in enumerate(BRANCHES):
        repo.git("checkout", "-q", "-b", branch, "main")
        write(repo.path, {f"f{n}": f"{branch}\n"})
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", branch)
        assert "submitted" in repo.cli("submit").stdout
        # Once more changes nothing.
        assert "waiting already" in repo.cli("submit").stdout
    repo.git("checkout", "-q", "main")
    return repo


def test_every_branch_is_a_change_of_its_own(submitted):
    submitted.drain()
    assert len(submitted.landings()) == len(BRANCHES)
    assert [submitted.show(f"f{n}") for n in range(len(BRANCHES))] == [f"{branch}\n" for branch in BRANCHES]
    submitted.proven()


@pytest.mark.parametrize("branch", [pytest.param("x/y", marks=pytest.mark.slow), "größe", "fix"])
def test_a_branch_names_what_was_submitted_from_it(submitted, branch):
    name = refnames.of_branch(branch)
    assert f"{name}/1: waiting" in submitted.cli("why", branch).stdout
    submitted.cli("queue", "bump", branch, "--priority", "3")
    with submitted.bot(batch=1) as bot:
        bot.take_turn()
        assert bot.state.queue[f"{name}/1"].change.priority == 3
    submitted.cli("withdraw", branch)
    submitted.drain()
    assert f"{name}/1 was withdrawn" in submitted.cli("wait", branch, ok=5).stderr
    assert f"{name}/2: submitted" in submitted.cli("queue", "retry", branch).stdout
    submitted.drain()
    assert f"{name}/2: landed" in submitted.cli("wait", branch).stdout
    assert "submitted" in submitted.cli("revert", branch).stdout
    submitted.drain()
    assert submitted.record("revert-" + name).stage == "landed"


def test_a_name_of_old_is_found(repo):
    # As an agentctl before this one named it.
    repo.submit("feature-login", {"login.txt": "1\n"})
    assert "feature-login/1: waiting" in repo.cli("why", "feature/login").stdout
    assert "no change called 'feature/logout'" in repo.cli("why", "feature/logout", ok=4).stderr


def test_a_branch_that_is_called_like_a_revision(repo):
    repo.submit("x", {"x.txt": "1\n"})
    repo.git("branch", "x/1", repo.change({"other.txt": "1\n"}))
    repo.git("checkout", "-q", "x/1")
    repo.cli("submit")
    assert "x/1: waiting" in repo.cli("why", "x/1").stdout
    repo.git("checkout", "-q", "main")
    repo.drain()
    assert len(repo.landings()) == 2


def names(repo):
    return repo.git("ls-tree", "-r", "-t", "--name-only", "main").splitlines()


TRUNK = {"README.md": "read\n", "Dir/x": "x\n", "dir2/caf\u00e9": "c\n"}


@pytest.mark.parametrize("path", ["readme.md", "dir/y", "Dir2/z", "dir2/cafe\u0301", "dir2/CAFÉ", "README.MD/x"])
def test_a_name_that_is_one_with_a_name_on_trunk(make_repo, path):
    repo = make_repo(files=TRUNK)
    if "." in path.split("/")[0] and "/" in path:
        repo.push({"README.md": None, "readme.md/y": "y\n"})
    repo.submit("evil", {path: "evil\n"})
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.stages() == {"evil/1": "rejected", "good/1": "landed"}
    assert "the same name as" in repo.record("evil").why
    assert len({folded(name) for name in names(repo)}) == len(names(repo))
    repo.proven()


def test_a_rename_in_case_alone(make_repo):
    repo = make_repo(files=TRUNK)
    repo.submit("file", {"README.md": None, "ReadMe.md": "read\n"})
    repo.submit("folder", {"Dir/x": None, "dir/x": "x\n"})
    repo.drain()
    assert {"ReadMe.md", "dir/x"} <= set(names(repo)) and not {"README.md", "Dir"} & set(names(repo))
    # Half of a folder is no rename.
    repo.push({"dir/y": "y\n"})
    repo.submit("half", {"dir/x": None, "DIR/x": "x\n"})
    repo.drain()
    assert repo.stage("half") == "rejected"
    repo.proven()


def test_two_changes_that_meet_in_one_name(repo):
    repo.submit("one", {"Makefile": "all:\n"}, agent="ann")
    repo.submit("two", {"makefile": "all:\n"}, agent="bob")
    repo.drain()
    assert sorted(repo.stages().values()) == ["landed", "rejected"]
    lost = next(key for key, stage in repo.stages().items() if stage == "rejected")
    assert "the same name as" in repo.record(lost).why and repo.kind(lost) == "conflict"
    repo.proven()


def test_what_trunk_got_meanwhile_counts(repo):
    base = repo.tip
    repo.push({"Makefile": "all:\n"})
    repo.submit("late", {"makefile": "all:\n"}, base=base)
    repo.drain()
    assert repo.kind("late") == "conflict" and "makefile: " in repo.record("late").why
    assert "Makefile" in repo.cli("wait", "late", ok=6).stderr


def test_names_that_were_one_on_trunk_before_may_be_changed(make_repo):
    repo = make_repo(files={"a/xt_DSCP.h": "1\n", "a/xt_dscp.h": "2\n"})
    repo.submit("one", {"a/xt_dscp.h": "3\n"})
    repo.submit("third", {"a/XT_dscp.h": "4\n"})
    repo.submit("away", {"a/xt_DSCP.h": None})
    repo.drain()
    assert repo.stages() == {"one/1": "landed", "third/1": "rejected", "away/1": "landed"}


# what would change nothing


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_what_is_on_trunk_already_does_not_land_again(make_repo, strategy):
    repo = make_repo(strategy=strategy)
    repo.git("checkout", "-q", "-b", "f", "main")
    write(repo.path, {"f.txt": "f\n"})
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "f")
    head = repo.git("rev-parse", "f").strip()
    repo.git("checkout", "-q", "main")
    repo.push({"f.txt": "f\n", "g.txt": "g\n"})
    assert "trunk holds all that it changes already" in repo.cli("submit", "--change", "f", head, ok=5).stderr
    # Who pushes is answered the same, and trunk gets no empty commit.
    before = repo.tip
    repo.hand_in("f", head)
    repo.drain()
    record = repo.record("f")
    assert (reason_kind(record), repo.tip) == ("there", before) and "trunk holds all that it does already" in record.why
    repo.proven()


def test_of_two_that_do_the_same_the_second_is_told(repo):
    for name in ("one", "two"):
        repo.submit(name, {"same.txt": "same\n"}, agent=name)
    repo.drain()
    assert sorted(repo.stages().values()) == ["landed", "rejected"]
    lost = next(key for key, stage in repo.stages().items() if stage == "rejected")
    won = next(key for key, stage in repo.stages().items() if stage == "landed")
    assert repo.kind(lost) == "there" and won in repo.record(lost).why
    assert len(repo.landings()) == 1
    repo.proven()


def test_an_empty_change_is_none(repo):
    head = repo.hub.objects.write_commit(repo.hub.objects.commit(repo.tip).tree, [repo.tip], "nothing was left to do\n", 1)
    assert "changes no file" in repo.cli("submit", "--change", "e", head, ok=5).stderr
    repo.hand_in("e", head)
    repo.drain()
    assert repo.record("e").why == "it changes nothing"


@pytest.mark.parametrize("strategy", ["squash", pytest.param("rebase", marks=pytest.mark.slow), "merge"])
def test_what_was_undone_comes_back_by_undoing_that(make_repo, strategy):
    repo = make_repo(strategy=strategy)
    head = repo.submit("g", {"g.txt": "g\n"})
    repo.drain()
    assert "g/1: landed already" in repo.cli("submit", "--change", "g", head).stdout if strategy != "merge" else True
    repo.cli("revert", "g")
    repo.drain()
    assert repo.show("g.txt") is None
    for words in (["--change", "g", "--again"], ["--change", "g"], ["--change", "other"]):
        said = repo.cli("submit", *words, head, ok=5).stderr
        assert "landed as g/1, and revert-g/1 undid it" in said and "hint: agentctl revert revert-g" in said
    # So is one that is pushed.
    repo.git("update-ref", "refs/agentctl/inbox/ann/g/7", head)
    repo.drain()
    assert repo.kind("g/7") == "policy" and "agentctl revert revert-g" in repo.record("g/7").why
    assert repo.show("g.txt") is None
    repo.cli("revert", "revert-g")
    repo.drain()
    assert repo.show("g.txt") == "g\n"
    repo.proven()
