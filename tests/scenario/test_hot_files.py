"""A file that is fought for: who declares it works alone, and a task splits it."""

import pytest

from agentctl.core.queue.records import Rejected
from agentctl.core.tasks.overlap import CROWDED
from agentctl.hub import fought
from agentctl.hub.ledger import Ledger
from tests.support.agents import WORK, add, ends, run, task


@pytest.fixture
def fought_for(make_repo):
    """A hub where so many changes conflicted in README that it is crowded."""
    repo = make_repo()
    policy = repo.show(".agentctl/policy.yaml").replace("agents:\n", "agents:\n  split_hot: true\n")
    base = repo.push({".agentctl/policy.yaml": policy})
    repo.submit("first", {"README": "read me\nfirst\n"})
    repo.drain()
    for n in range(CROWDED):
        repo.submit(f"late-{n}", {"README": f"read me\n{n}\n"}, base=base)
    repo.drain()
    return repo


def test_what_happened_lately_is_read_on_from_where_it_was_read(repo):
    base, read, heads = repo.tip, None, 0
    for n in range(4):
        repo.submit(f"c{n}", {"README": f"read me\n{n}\n", f"c{n}": "new\n"}, base=base)
        repo.drain()
        ledger = Ledger.read(repo.hub)
        read = fought.lately(ledger, read)
        heads += 1
        assert read == fought.lately(ledger)
        assert len(read.ended) == heads == len([r for r in ledger.ended() if r])
    assert read.conflicts == (("README",),) * 3
    assert sum(isinstance(r, Rejected) for r in Ledger.read(repo.hub).ended()) == 3


def test_of_a_frozen_file_one_task_at_a_time_is_worked_on_and_one_splits_it(fought_for, tmp_path):
    repo = fought_for
    add(repo, {"id": "a", "paths": ["README"]}, {"id": "b", "paths": ["README"]}, {"id": "c"})
    # Whoever declares README finds nobody else who does.
    alone = f"""
        case $AGENTCTL_TASK in
        c) ;;
        *) mkdir {tmp_path}/taken || exit 1
           echo $AGENTCTL_TASK >>{tmp_path}/order; sleep 0.3
           grep -q Split "$AGENTCTL_PROMPT_FILE" && cp "$AGENTCTL_PROMPT_FILE" {tmp_path}/prompt.md
           rmdir {tmp_path}/taken;;
        esac
        {WORK}"""
    said = run(repo, alone, "--agents", 3).stdout
    assert (
        f"{CROWDED} of the last {CROWDED + 1} changes were rejected for conflicts in README: tasks that declare it are worked on "
        "one at a time; split-README is to split it" in said
    )
    assert "4 of 4 landed" in said
    assert all(ends(repo, name) == ["submitted"] for name in ("a", "b", "c", "split-README"))
    # The split goes first, by its priority.
    assert (tmp_path / "order").read_text().split() == ["split-README", "a", "b"]
    assert "because they conflict in this file" in (tmp_path / "prompt.md").read_text()

    # It is opened once.
    add(repo, {"id": "d", "paths": ["README"]})
    said = run(repo, WORK).stdout
    assert "tasks that declare it are worked on one at a time\n" in said
    assert "5 of 5 landed" in said
    assert len(task(repo, "split-README")["sessions"]) == 1
    assert f"README  changed by 0 here  {CROWDED} conflicts  one task at a time" in repo.cli("radar").stdout


def test_a_run_of_a_list_works_on_the_split_too(fought_for, tmp_path):
    (tmp_path / "tasks.yaml").write_text("- {id: a, prompt: do a}\n")
    assert "2 of 2 landed" in run(fought_for, WORK, tmp_path / "tasks.yaml").stdout
    assert sorted(fought_for.landings())[-1] == "split-README/1"


def test_a_change_that_a_parked_review_holds_up_keeps_no_other_from_a_frozen_file(fought_for):
    repo = fought_for
    rule = "approvals:\n  - {paths: [a.txt], by: reviewer}\n"
    repo.push({".agentctl/policy.yaml": repo.show(".agentctl/policy.yaml") + rule})
    add(repo, {"id": "a", "paths": ["README"], "priority": 1}, {"id": "b", "paths": ["README"]})
    run(repo, f"case $AGENTCTL_TASK in review-*) exit 1 ;; *) {WORK} ;; esac", "--attempts", 1, ok=7)
    assert (task(repo, "a")["status"], task(repo, "b")["status"]) == ("submitted", "landed")
