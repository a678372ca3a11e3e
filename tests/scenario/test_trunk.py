"""Trunk: how work arrives on it, who else moves it, and what happens to its checkouts."""

import os

import pytest

from agentctl.core.notices import Behind
from agentctl.errors import Refused
from tests.support.hub import finish, told, until, write


def two_commits(repo, name="pair"):
    first = repo.change({"a.txt": "a\n"}, "first half")
    second = repo.change({"b.txt": "b\n"}, "second half", first)
    repo.hand_in(name, second)
    return first, second


def test_squash_makes_one_commit_of_a_change(make_repo):
    repo = make_repo(strategy="squash")
    begin = repo.tip
    two_commits(repo)
    repo.drain()
    assert repo.git("rev-list", "--count", f"{begin}..main").strip() == "1"
    said = repo.git("log", "-1", "--format=%B", "main")
    assert said.startswith("second half\n") and "* first half" in said
    repo.proven()


def test_rebase_keeps_the_commits_of_a_change(make_repo):
    repo = make_repo(strategy="rebase")
    begin = repo.tip
    two_commits(repo)
    repo.submit("other", {"other.txt": "other\n"})
    repo.drain()
    subjects = repo.git("log", "--reverse", "--format=%s", f"{begin}..main").splitlines()
    assert sorted(subjects) == ["add other", "first half", "second half"]
    assert subjects.index("second half") == subjects.index("first half") + 1
    assert repo.git("rev-list", "--merges", "main") == ""
    repo.proven()


def test_merge_keeps_the_very_commits(make_repo):
    repo = make_repo(strategy="merge")
    _, second = two_commits(repo)
    repo.drain()
    assert repo.git("rev-parse", "main^2").strip() == second
    assert repo.git("log", "-1", "--format=%s", "main").startswith("Merge pair/1")
    repo.proven()


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_forged_labels_do_not_reach_trunk(make_repo, strategy):
    # A message that claims to be another change, already landed by the bot.
    repo = make_repo(strategy=strategy)
    forged = "innocent\n\nAgentctl-Change: boss/7\nagentctl-task: hers\nReviewed-by: Bob"
    repo.submit("mine", {"mine.txt": "mine\n"}, message=forged)
    repo.drain()
    said = repo.git("log", "--first-parent", "--format=%B", "main")
    assert "boss/7" not in said and "hers" not in said
    assert repo.landings() == ["mine/1"]
    if strategy != "merge":
        assert "Reviewed-by: Bob" in said
    repo.proven()


def test_somebody_pushes_while_a_gate_runs(repo):
    repo.submit("mine", {"mine.txt": "mine\n"})
    with repo.bot() as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        pushed = repo.push({"theirs.txt": "theirs\n"})
        finish(bot)
    # What lands was tested on top of what was pushed.
    assert repo.git("rev-parse", "main^").strip() == pushed
    assert repo.record("mine").proof.old == pushed
    assert len(told(bot, "adopted")) == 1
    repo.proven()


def test_somebody_rewinds_trunk_while_a_gate_runs(repo):
    # One change has landed; another, made on top of it, is being tested.
    begin = repo.tip
    first = repo.submit("first", {"first.txt": "first\n"})
    repo.drain()
    landed = repo.tip
    repo.submit("second", {"second.txt": "second\n"})
    with repo.bot() as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        repo.git("reset", "-q", "--hard", begin)
        until(bot, lambda: bot.halted)

        # Whether that was meant nobody can tell here. The bot says so and lands nothing; what
        # it tests meanwhile it tests on the trunk that it knows.
        assert repo.tip == begin and repo.stage("second") == "queued"
        (moved,) = told(bot, "moved")
        for word in (landed[:12], begin[:12], "reset: moving to", "agentctl bot restore", "agentctl bot adopt"):
            assert word in moved
        assert any("second/1" in probe.chain and probe.base == landed for probe, _ in bot.judged)

        # What trunk was is safe from `git gc`, and `verify` names what trunk lost.
        assert landed in repo.git("for-each-ref", "--format=%(objectname)", "refs/agentctl/salvage")
        said = repo.cli("verify", ok=9).stdout
        assert f"trunk no longer holds {landed[:12]}" in said and "agentctl bot restore" in said

        # One command puts it back; the bot goes on, and needs no second run for what passed.
        assert f"main is back at {landed[:12]}" in repo.cli("bot", "restore").stdout
        assert (repo.path / "first.txt").exists() and repo.git("status", "--porcelain") == ""
        runs = len(bot.judged)
        finish(bot)
    assert repo.landings() == ["first/1", "second/1"] and len(bot.judged) == runs
    assert repo.git("merge-base", "--is-ancestor", first, "refs/agentctl/state") == ""
    repo.proven()


def test_somebody_dies_in_the_middle_of_moving_trunk(repo):
    # A Git that was killed during the bot's run leaves trunk locked, and packed refs as well.
    repo.submit("mine", {"mine.txt": "mine\n"})
    with repo.bot() as bot:
        for lock in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"):
            write(repo.path, {f".git/{lock}": ""})
            os.utime(repo.path / ".git" / lock, (1, 1))
        finish(bot)
    assert repo.landings() == ["mine/1"]
    repo.proven()


def test_a_clean_checkout_follows_trunk_and_keeps_untracked_files(repo):
    write(repo.path, {"notes": "untracked\n"})
    repo.submit("mine", {"mine.txt": "mine\n", "README": None})
    repo.drain()
    assert (repo.path / "mine.txt").exists() and not (repo.path / "README").exists()
    assert repo.git("status", "--porcelain") == "?? notes\n"


def test_every_checkout_of_trunk_follows(repo, tmp_path):
    repo.git("worktree", "add", "-q", "--force", str(tmp_path / "second"), "main")
    repo.submit("mine", {"mine.txt": "mine\n"})
    repo.drain()
    for folder in (repo.path, tmp_path / "second"):
        assert (folder / "mine.txt").exists()
        assert repo.git("status", "--porcelain", cwd=folder) == ""


def test_a_dirty_checkout_is_refused_at_the_start(repo):
    write(repo.path, {"README": "unsaved\n"})
    repo.submit("mine", {"mine.txt": "mine\n"})
    with pytest.raises(Refused, match="uncommitted"):
        repo.drain()
    said = repo.cli("bot", "run", "--once", ok=5).stderr
    assert str(repo.path) in said and "hint: " in said
    assert (repo.path / "README").read_text() == "unsaved\n"
    assert repo.stage("mine") == "waiting"


def test_a_checkout_that_becomes_dirty_is_kept_and_reported(repo):
    repo.submit("mine", {"README": "mine\n"})
    with repo.bot() as bot:
        write(repo.path, {"README": "unsaved\n"})
        finish(bot)
    assert repo.show("README") == "mine\n"
    assert (repo.path / "README").read_text() == "unsaved\n"
    assert [event.path for event in bot.heard if isinstance(event, Behind)] == [str(repo.path)]


def test_local_changes_elsewhere_do_not_hold_a_checkout_back(repo):
    repo.submit("mine", {"mine.txt": "mine\n"})
    with repo.bot() as bot:
        write(repo.path, {"README": "unsaved\n"})
        finish(bot)
    assert (repo.path / "mine.txt").exists()
    assert (repo.path / "README").read_text() == "unsaved\n"
    assert repo.git("status", "--porcelain") == " M README\n"
    assert not told(bot, "behind")


def test_a_bare_repository_works(make_repo):
    repo = make_repo(bare=True)
    repo.submit("mine", {"mine.txt": "mine\n"})
    repo.submit("bad", {"bad.txt": "BUG\n"})
    assert "landed 1, rejected 1" in repo.cli("bot", "run", "--once", ok=7).stdout
    assert repo.show("mine.txt") == "mine\n"
    repo.proven()


def test_a_landed_change_is_reverted_through_the_queue(repo):
    repo.submit("mine", {"mine.txt": "mine\n"})
    repo.drain()
    assert "revert-mine/1" in repo.cli("revert", "mine").stdout
    repo.drain()
    assert repo.show("mine.txt") is None
    assert repo.landings() == ["mine/1", "revert-mine/1"]
    # There is nothing left to undo, and later work in its way is a conflict.
    assert "nothing" in repo.cli("revert", "mine", ok=5).stderr
    repo.submit("base", {"word": "one\n"})
    repo.drain()
    repo.submit("later", {"word": "two\n"})
    repo.drain()
    assert "word" in repo.cli("revert", "base", ok=6).stderr
    repo.proven()


def test_a_change_from_a_checkout_that_lags_is_told_to_undo_what_landed(repo):
    """The branch went on, its files did not: so `git commit -a` takes back what landed, and nothing says so."""
    repo.submit("landed", {"README": "landed\n", "other.txt": "landed too\n"})
    with repo.bot() as bot:
        write(repo.path, {"README": "a person's edit\n"})
        finish(bot)
    repo.git("switch", "-q", "-c", "mine")
    repo.git("commit", "-q", "-a", "-m", "my edit")
    said = repo.cli("submit").stdout
    assert "note: it makes other.txt again as before something that came to trunk lately" in said
    assert "agentctl withdraw mine" in said
    # Nothing is said of what goes on from trunk.
    repo.git("switch", "-q", "--discard-changes", "-c", "fine", "main")
    write(repo.path, {"README": "landed, and more\n"})
    repo.git("commit", "-q", "-a", "-m", "more")
    assert "note" not in repo.cli("submit").stdout


def test_a_commit_around_the_queue_that_takes_back_what_landed_is_told(repo):
    """Made in the checkout of trunk itself, whose files were older than its branch."""
    repo.submit("landed", {"README": "landed\n", "other.txt": "landed too\n"})
    with repo.bot() as bot:
        write(repo.path, {"README": "a person's edit\n"})
        finish(bot)
        repo.git("commit", "-q", "-a", "-m", "my edit")
        bot.take_turn()
        adopted = told(bot, "adopted")[0]
        assert "it makes other.txt again as before something that came to trunk lately" in adopted
        finish(bot)
    assert "; trunk has other.txt again as before it" in repo.cli("why", "landed").stdout
    # Nothing is said of a change that stands.
    repo.submit("fine", {"third.txt": "fine\n"})
    repo.drain()
    assert "again" not in repo.cli("why", "fine").stdout


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_what_a_merge_commit_of_a_change_holds_itself_lands(make_repo, strategy):
    """A branch that merged trunk, solved a conflict and adapted a file: none of that is in any other commit."""
    repo = make_repo(strategy=strategy, files={"text": "one\n"})
    objects, base = repo.hub.objects, repo.tip
    mine = repo.change({"text": "mine\n", "new.txt": "new\n"}, "mine")
    repo.submit("theirs", {"text": "theirs\n"})
    repo.drain()
    both = objects.replace(objects.commit(repo.tip).tree, {"text": b"both\n", "new.txt": b"new\n", "adapted.txt": b"adapted\n"})
    merged = objects.write_commit(both, [mine, repo.tip], "merge trunk\n", 1_600_000_000)
    repo.hand_in(
        "mine", repo.hub.objects.write_commit(objects.replace(both, {"more.txt": b"more\n"}), [merged], "more\n", 1_600_000_001)
    )
    repo.submit("other", {"other.txt": "other\n"}, base=base)
    repo.drain()
    assert repo.stages() == {"theirs/1": "landed", "mine/1": "landed", "other/1": "landed"}
    assert [repo.show(name) for name in ("text", "adapted.txt", "more.txt")] == ["both\n", "adapted\n", "more\n"]
    repo.proven()


def test_a_move_of_trunk_that_changes_what_is_protected_is_told(repo):
    with repo.bot() as bot:
        finish(bot)
        repo.push({".agentctl/policy.yaml": repo.show(".agentctl/policy.yaml").replace("sh check.sh", "'true'")})
        finish(bot)
        said = told(bot, "adopted")[0]
    assert "; it changes what no change may touch: .agentctl/policy.yaml" in said
    assert "what no change may touch: .agentctl/policy.yaml" in repo.cli("verify").stdout


def test_what_is_renamed_takes_nothing_back(repo):
    repo.submit("landed", {"a/one.txt": "one\n", "a/two.txt": "two\n"})
    repo.drain()
    moved = repo.change({"a/one.txt": None, "a/two.txt": None, "b/one.txt": "one\n", "b/two.txt": "two\n"})
    repo.git("branch", "moved", moved)
    assert "note" not in repo.cli("submit", "moved", "--change", "moved").stdout
