"""Agents learn early that their work conflicts with what landed, and what they can do about it."""

import json
import os
import signal
from pathlib import Path

import pytest

from agentctl.fleet import agents, looking, session_folder
from tests.support.agents import WORK, add, ends, nothing_runs, run, started, task
from tests.support.hub import PATIENCE, eventually

WAIT = 'wait_for() { n=0; until [ -e "$1" ]; do sleep 0.05; n=$((n+1)); [ $n -lt 1200 ] || exit 1; done; }'
EDIT = 'echo "$AGENTCTL_TASK" >>README; git commit -qam "work on $AGENTCTL_TASK"'
AFTER_SLOW = "quick) wait_for {0}/slow-began; " + EDIT + ";;"


def script(folder, slow, other=""):
    """`quick` lands an edit of README while `slow` works on it, too."""
    return f"{WAIT}\ncase $AGENTCTL_TASK in\nslow) {slow};;\n{AFTER_SLOW.format(folder)}\n{other}\nesac"


@pytest.mark.parametrize("commits", [True, False])
def test_an_agent_is_told_of_a_conflict_and_settles_it_as_it_is_told(repo, tmp_path, commits):
    add(repo, {"id": "slow", "prompt": "x", "title": "Slow"}, {"id": "quick", "prompt": "y"})
    edit = EDIT if commits else 'echo "$AGENTCTL_TASK" >>README'
    said = run(
        repo,
        script(
            tmp_path,
            f"""
            {edit}; : >{tmp_path}/slow-began
            wait_for "$AGENTCTL_SESSION/news.md"
            cp "$AGENTCTL_SESSION/news.md" {tmp_path}/told.md
            test -z "$(git status --porcelain .agentctl)" || exit 1
            git commit -qam "work on slow"
            advice=$(sed -n 's/^2. `\\(.*\\)`$/\\1/p' {tmp_path}/told.md)
            sh -ec "$advice" && exit 1
            printf 'read me\\nquick\\nslow\\n' >README
            git add README; GIT_EDITOR=true git rebase --continue
            while [ -e "$AGENTCTL_SESSION/news.md" ]; do sleep 0.05; done""",
        ),
    ).stdout
    assert "slow: it conflicts with trunk in README, where quick/1 landed" in said
    told = (tmp_path / "told.md").read_text()
    assert "- README\n" in told and "(quick/1, task quick) work on quick" in told
    assert repo.show("README") == "read me\nquick\nslow\n"
    assert repo.stages() == {"quick/1": "landed", "slow/1": "landed"}
    repo.proven()


def test_the_next_session_is_told_if_the_first_one_ended_without_a_result(repo, tmp_path):
    add(repo, "slow", "quick")
    run(
        repo,
        script(
            tmp_path,
            f"""
            if [ $AGENTCTL_GENERATION = 2 ]; then cp "$AGENTCTL_PROMPT_FILE" {tmp_path}/prompt.md; fi
            test ! -e "$AGENTCTL_SESSION/news.md" || exit 1
            {EDIT}; [ $AGENTCTL_GENERATION = 2 ] && exit; : >{tmp_path}/slow-began
            wait_for "$AGENTCTL_SESSION/news.md"
            exit 1""",
        ),
    )
    assert ends(repo, "slow") == ["crashed", "submitted"]
    prompt = (tmp_path / "prompt.md").read_text()
    assert "it conflicts with trunk in README, where quick/1 landed" in prompt
    assert "What it had: `git diff HEAD...refs/agentctl/salvage/" in prompt
    assert repo.show("README") == "read me\nquick\nslow\n"


BEHIND = "agents:\n  behind: 1\n"


def test_a_session_too_far_behind_is_ended_and_its_task_begins_anew(make_repo, tmp_path):
    repo = make_repo(attempts=1)
    repo.push({".agentctl/policy.yaml": repo.show(".agentctl/policy.yaml").replace("agents:\n", BEHIND)})
    add(repo, {"id": "slow", "priority": 1}, "quick", {"id": "other", "after": ["quick"]})
    # The agent sees the news and does not heed them. Then a second landing leaves it too far behind.
    slow = f"""
        {EDIT}; [ $AGENTCTL_GENERATION = 2 ] && exit; : >{tmp_path}/slow-began
        wait_for "$AGENTCTL_SESSION/news.md"; : >{tmp_path}/told; exec sleep 1000"""
    run(repo, f"{script(tmp_path, slow, f'other) wait_for {tmp_path}/told; {WORK};;')}")
    first, second = task(repo, "slow")["sessions"]
    assert (first["end"], second["end"]) == ("behind", "submitted")
    assert first["note"].startswith("2 commits behind trunk, and it conflicts with trunk in README, where quick/1 landed")
    assert repo.show("README", first["salvage"]) == "read me\nslow\n"
    assert sorted(repo.landings()) == ["other/1", "quick/1", "slow/1"]
    repo.proven()


@pytest.fixture
def ann(repo):
    """An agent's worktree in which a session worked, and trunk that moved on in README."""
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    (Path(tree.path) / "README").write_text("read me\nann\n")
    repo.git("commit", "-qam", "work of ann", cwd=tree.path)
    repo.push({"README": "read me\nothers\n"})
    return tree


def test_a_look_leaves_nothing_in_the_hub(repo, ann):
    def everything():
        return {path for path in Path(repo.hub.git_dir).rglob("*") if "worktrees" not in path.parts}

    (Path(ann.path) / "new").write_text("not committed\n")
    looking.look(repo.hub, ann, repo.tip)
    before = everything()
    seen = looking.look(repo.hub, ann, repo.tip)
    assert (seen.commits, seen.behind, seen.touched, seen.conflicts) == (1, 1, ("README", "new"), ("README",))
    assert not repo.hub.objects.exists(seen.head)
    assert everything() == before


def test_what_is_not_committed_conflicts_too(repo, ann):
    repo.git("reset", "-q", "--hard", "HEAD~1", cwd=ann.path)
    assert looking.look(repo.hub, ann, repo.tip).conflicts == ()
    (Path(ann.path) / "README").write_text("read me\nann\n")
    seen = looking.look(repo.hub, ann, repo.tip)
    assert (seen.commits, seen.touched, seen.conflicts) == (0, ("README",), ("README",))
    assert [other.subject for other in seen.landed] == ["pushed around the queue"]


def test_in_the_middle_of_a_rebase_nothing_is_merged_on_trial(repo, ann):
    repo.git("fetch", "-q", "origin", cwd=ann.path)
    with pytest.raises(AssertionError, match="could not apply"):
        repo.git("rebase", "-q", "origin/main", cwd=ann.path)
    seen = looking.look(repo.hub, ann, repo.tip)
    assert (seen.under_way, seen.conflicts) == ("a rebase", ())
    (Path(ann.path) / "README").write_text("read me\nothers\nann\n")
    repo.git("add", "README", cwd=ann.path)
    repo.git("commit", "-qm", "work of ann, settled", cwd=ann.path)
    repo.git("rebase", "--continue", cwd=ann.path)
    seen = looking.look(repo.hub, ann, repo.tip)
    assert (seen.under_way, seen.commits, seen.behind, seen.conflicts) == ("", 1, 0, ())


def test_a_look_runs_nothing_that_an_agent_wrote(repo, ann, tmp_path):
    bait = f"touch {tmp_path}/taken"
    config = "".join(f"[{section}]\n\t{key} = {bait}\n" for section, key in (("core", "fsmonitor"), ('filter "x"', "clean")))
    with open(os.path.join(ann.git_dir, "config"), "a") as file:
        file.write(f'{config}[merge "x"]\n\tdriver = {bait}\n')
    (Path(ann.git_dir) / "info" / "attributes").write_text("* filter=x merge=x\n")
    (Path(ann.path) / "README").write_text("read me\nann again\n")
    assert looking.look(repo.hub, ann, repo.tip).conflicts == ("README",)
    assert not (tmp_path / "taken").exists()


def test_news_go_into_the_worktree_and_nowhere_else(repo, ann, tmp_path):
    folder = Path(session_folder.make(ann.path))
    session_folder.tell(ann.path, "news\n")
    assert (folder / "news.md").read_text() == "news\n"
    assert repo.git("status", "--porcelain", cwd=ann.path) == ""
    session_folder.tell(ann.path, "")
    assert os.listdir(folder) == []
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError):
        session_folder.tell(ann.path, "news\n")
    assert not (tmp_path / "news.md").exists()
    # A session begins with a folder of its own.
    assert os.listdir(session_folder.make(ann.path)) == [] and not folder.is_symlink()


def test_a_second_terminal_sees_who_is_in_whose_way(repo, tmp_path):
    # A change conflicted in README lately.
    base = repo.tip
    repo.submit("first", {"README": "read me\nfirst\n"})
    repo.submit("second", {"README": "read me\nsecond\n"}, base=base)
    repo.drain()
    assert sorted(repo.stages().values()) == ["landed", "rejected"]
    add(repo, {"id": "one", "paths": ["docs"]}, "two")
    work = f"""
        echo $AGENTCTL_TASK >>README
        case $AGENTCTL_TASK in one) git commit -qam one;; two) mkdir docs; echo x >docs/x;; esac
        : >{tmp_path}/$AGENTCTL_TASK; exec sleep 1000"""
    fleet = started(repo, work)
    eventually(lambda: (tmp_path / "one").exists() and (tmp_path / "two").exists())
    said = json.loads(repo.cli("radar", "--json").stdout)
    by_task = {row["task"]: row for row in said["sessions"]}
    one, two = by_task["one"], by_task["two"]
    assert (one["commits"], one["files"], one["behind"], one["conflicts"]) == (1, 1, 0, [])
    assert (two["commits"], two["files"]) == (0, 2)
    assert one["overlaps"] == [{"other": two["agent"], "paths": ["README", "docs/x"]}]
    assert said["hot"] == [{"path": "README", "branches": [one["agent"], two["agent"]], "conflicts": 1}]
    assert said["among"] == 2

    # Trunk moves on in README, around the queue.
    repo.push({"README": "read me\nby hand\n"})
    shown = repo.cli("radar").stdout
    assert f"overlaps with {two['agent']} in README, docs/x" in shown
    assert shown.count("it conflicts with trunk in README, where ") == 2 and shown.count("1 behind  conflicts") == 2
    fleet.send_signal(signal.SIGINT)
    fleet.communicate(timeout=PATIENCE)
    nothing_runs(repo)

    # Without a fleet it says so; the hot file needs the branches to be hot.
    assert repo.cli("radar").stdout == "no session runs here\n"


def test_what_waits_in_the_queue_overlaps_with_sessions(repo, tmp_path):
    add(repo, {"id": "one"})
    fleet = started(repo, f"echo one >>README; : >{tmp_path}/began; exec sleep 1000")
    eventually(lambda: (tmp_path / "began").exists())
    repo.submit("SLOW", {"README": "read me\nSLOW\n"})
    eventually(lambda: repo.stage("SLOW") == "queued")
    (row,) = json.loads(repo.cli("radar", "--json").stdout)["sessions"]
    assert row["overlaps"] == [{"other": "SLOW/1", "paths": ["README"]}]
    fleet.send_signal(signal.SIGINT)
    fleet.communicate(timeout=PATIENCE)
    nothing_runs(repo)
