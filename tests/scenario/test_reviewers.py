"""From a goal to what lands: one agent plans, others work, and others again judge their work before it may land."""

import json
import time

import pytest

from agentctl.core.tasks import reviewing
from agentctl.core.tasks.claim import Claim
from agentctl.fleet.reviews import Reviews
from agentctl.hub import claims, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import in_force
from tests.support.agents import WORK, add, ends, nothing_is_left, run, started, task
from tests.support.hub import PATIENCE, eventually, until, write

RULES = "approvals:\n  - {paths: ['*.txt'], by: reviewer}\n"


def judge(verdict):
    """An agent that works, or judges if its task is to review."""
    return f'case "$AGENTCTL_TASK" in review-*) {verdict} ;; *) {WORK} ;; esac'


APPROVE = """agentctl approve "$(echo "$AGENTCTL_TASK" | cut -d- -f2)" && agentctl task done --reason "it is good" """


def reviewed(make_repo, rules=RULES, **values):
    repo = make_repo(**values)
    text = (repo.path / ".agentctl/policy.yaml").read_text()
    write(repo.path, {".agentctl/policy.yaml": text + rules})
    repo.git("commit", "-qam", "what is to be approved")
    return repo


def test_what_a_reviewer_approves_lands_and_not_before(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one")
    said = run(repo, judge(APPROVE)).stdout
    assert repo.landings() == ["one/1"]
    # Reviews are no part of what was asked for.
    assert "tasks       1 of 1 landed, 0 parked\nreviews     1 of 1 done\n" in said
    review = task(repo, "review-one-1")
    assert (review["status"], review["role"]) == ("done", "reviewer")
    # Nobody judges what is their own.
    (work,) = task(repo, "one")["sessions"]
    assert work["agent"] not in [session["agent"] for session in review["sessions"]]
    assert review["avoid"] == [work["agent"]]
    nothing_is_left(repo)
    repo.proven()


def test_what_is_refused_goes_back_with_the_reason(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one")
    refuse = """
        if [ "$AGENTCTL_TASK" = review-one-1 ]; then
            agentctl approve one --refuse "it says nothing of why" && agentctl task done
        else
            agentctl approve one && agentctl task done
        fi
    """
    work = 'echo "$AGENTCTL_GENERATION" >one.txt; if [ -n "$AGENTCTL_ANSWER" ]; then grep -q "it says nothing of why" "$AGENTCTL_PROMPT_FILE" || exit 1; fi'
    run(repo, f'case "$AGENTCTL_TASK" in review-*) {refuse} ;; *) {work} ;; esac')
    assert repo.stages() == {"one/1": "rejected", "one/2": "landed"}
    assert task(repo, "review-one-2")["status"] == "done"
    repo.proven()


def test_the_prompt_of_a_reviewer_says_what_to_look_at(make_repo):
    repo = reviewed(make_repo)
    add(repo, {"id": "one", "prompt": "Say why.", "acceptance": "One line."})
    check = (
        'grep -q "^> Say why.$" "$AGENTCTL_PROMPT_FILE" && grep -q "^- one.txt$" "$AGENTCTL_PROMPT_FILE" && '
        'eval "$(grep -o "git diff [0-9a-f]* [0-9a-f]*" "$AGENTCTL_PROMPT_FILE" | head -1)" | grep -q "^+one$" && '
    )
    run(repo, judge(check + APPROVE))
    assert repo.landings() == ["one/1"]


def test_one_agent_alone_cannot_review_and_that_is_said_until_there_is_another(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one", "two")
    fleet = started(repo, judge(APPROVE), "--agents", "1")
    alone = "review-one-1 and 1 more: for another agent than agent-1, and there is no other: agentctl scale 2"
    try:
        eventually(lambda: f"held up: {alone}" in repo.cli("queue").stdout)
        assert [task(repo, f"review-{name}-1")["status"] for name in ("one", "two")] == ["ready", "ready"]
        repo.cli("scale", "2")
        fleet.communicate(timeout=PATIENCE)
    finally:
        fleet.kill()
    assert fleet.returncode == 0
    assert sorted(repo.landings()) == ["one/1", "two/1"]
    assert len([name for name in repo.refs("refs/agentctl/tasks/") if "review" in name]) <= 2


def test_who_has_approved_gets_no_other_review_of_the_same_and_one_who_is_busy_is_waited_for(make_repo):
    repo = reviewed(make_repo, "approvals:\n  - {paths: [one.txt], by: reviewer, count: 2}\n")
    add(repo, "one", "long")
    judged = 'until agentctl task show review-one-1 --json | grep -q \'"status": "done"\'; do sleep 0.05; done'
    agent = f'case "$AGENTCTL_TASK" in review-*) agentctl approve one ;; long) {judged}; {WORK} ;; *) {WORK} ;; esac'
    assert "reviews     2 of 2 done" in run(repo, agent, "--agents", 3).stdout
    assert sorted(repo.landings()) == ["long/1", "one/1"]
    assert len({approval.by for approval in repo.record("one").approvals}) == 2


def test_where_all_have_approved_who_may_that_is_said_until_there_is_another(make_repo):
    repo = reviewed(make_repo, "approvals:\n  - {paths: ['*.txt'], by: reviewer, count: 2}\n")
    add(repo, "one")
    fleet = started(repo, judge("agentctl approve one"), "--agents", "2")
    alone = "for another agent than agent-1, agent-2, and there is no other: agentctl scale 3"
    try:
        eventually(lambda: f"held up: review-one-1.2: {alone}" in repo.cli("queue").stdout)
        repo.cli("scale", "3")
        fleet.communicate(timeout=PATIENCE)
    finally:
        fleet.kill()
    assert (fleet.returncode, repo.landings()) == (0, ["one/1"])
    reviews = [task(repo, name) for name in ("review-one-1", "review-one-1.2")]
    assert [[session["agent"] for session in review["sessions"]] for review in reviews] == [["agent-2"], ["agent-3"]]


def test_one_agent_may_approve_once_in_each_role(make_repo):
    rules = "approvals:\n  - {paths: ['*.txt'], by: reviewer}\n  - {paths: ['*.txt'], by: guard}\n"
    repo = reviewed(make_repo, rules)
    policy = repo.path / ".agentctl/policy.yaml"
    write(
        repo.path,
        {".agentctl/policy.yaml": policy.read_text().replace("agents:\n", "agents:\n  roles: {guard: {does: review}}\n")},
    )
    repo.git("commit", "-qam", "a second role that reviews")
    add(repo, "one")
    assert "reviews     2 of 2 done" in run(repo, judge("agentctl approve one"), "--agents", 2).stdout
    assert repo.landings() == ["one/1"]
    assert {(a.by, a.role) for a in repo.record("one").approvals} == {("agent-2", "reviewer"), ("agent-2", "guard")}
    repo.proven()


def test_a_review_that_was_parked_is_done_by_whoever_opens_it_and_closed_if_it_is_not_needed(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one", "two", "other")
    waits = f'until [ -e "{repo.path}/judges" ]; do sleep 0.05; done; '
    # As long as something else is left to do, the run goes on.
    fleet = started(repo, f'case "$AGENTCTL_TASK" in review-*) {waits} {APPROVE} ;; other) {waits} {WORK} ;; *) {WORK} ;; esac')
    try:
        for name in ("one", "two"):
            eventually(lambda name=name: repo.refs(f"refs/agentctl/tasks/review-{name}-1"))
            repo.cli("task", "park", f"review-{name}-1")
        eventually(lambda: task(repo, "review-one-1")["status"] == "parked")
        repo.cli("withdraw", "two")
        eventually(lambda: task(repo, "review-two-1")["status"] == "done")
        # What else happened opens no other in its place.
        assert task(repo, "review-one-1")["status"] == "parked" and not repo.refs("refs/agentctl/tasks/review-one-1.2")
        (repo.path / "judges").touch()
        repo.cli("task", "open", "review-one-1")
        fleet.communicate(timeout=PATIENCE)
    finally:
        fleet.kill()
    assert "one/1" in repo.landings()


def undecided(name):
    """An agent that works, and judges all but one change, when the review of that one is parked: it says nothing of it."""
    parked = f"until agentctl task list --status parked | grep -q review-{name}-1; do sleep 0.05; done; "
    return f'case "$AGENTCTL_TASK" in review-{name}-*) ;; review-*) {parked} {APPROVE} ;; *) {WORK} ;; esac'


def test_a_parked_review_keeps_its_place_whatever_else_lands_and_the_run_ends_and_says_so(make_repo):
    repo = reviewed(make_repo, attempts=2)
    add(repo, "one", "two", {"id": "late", "after": ["one"]})
    said = run(repo, undecided("one"), "--agents", 3, ok=7).stdout
    assert repo.landings() == ["two/1"] and repo.stage("one") == "queued"
    listed = json.loads(repo.cli("task", "list", "--json").stdout)
    assert {task["id"] for task in listed if task["role"] == "reviewer"} == {"review-one-1", "review-two-1"}
    assert ends(repo, "review-one-1") == ["empty", "empty"]
    assert "tasks       1 of 3 landed, 0 parked, 2 blocked\nreviews     1 of 2 done\n" in said
    said = " ".join(said.split())
    assert "1 change waits for approvals, and its review is parked: agentctl task open review-one-1" in said
    why = "review-one-1, which is parked: "
    assert f"blocked one: its change waits for {why}" in said
    assert f"blocked late: it comes after one, which waits for {why}" in said
    nothing_is_left(repo)

    # No person can approve it, so nobody is told to: what is said names the review.
    assert "one/1 waits for 1 approval by an agent of the role reviewer for one.txt: the task review-one-1 is for that" in said
    parked = "review-one-1 is parked: agentctl task open review-one-1"
    why = repo.cli("why", "one").stdout
    assert f"next: {parked}" in why and "agentctl approve" not in why
    assert parked in " ".join(repo.cli("approve").stdout.split()) and "hint:" not in repo.cli("approve").stdout
    waits = " ".join(repo.cli("wait", "one", "--timeout", "1ms", ok=124).stderr.split())
    assert f"waiting for one/1; it needs 1 approval by an agent of the role reviewer for one.txt: {parked}" in waits

    # The next run does not wait either, until somebody opens it.
    run(repo, judge(APPROVE), ok=7)
    repo.cli("task", "open", "review-one-1")
    run(repo, judge(APPROVE))
    assert repo.landings() == ["two/1", "one/1", "late/1"]
    assert task(repo, "review-one-1")["status"] == "done"
    repo.proven()


def test_a_run_on_a_list_has_the_changes_of_others_reviewed_too(make_repo, tmp_path):
    repo = reviewed(make_repo, attempts=1)
    add(repo, "one")
    run(repo, judge("true"), ok=7)
    repo.cli("task", "open", "review-one-1")
    write(tmp_path, {"more.yaml": "- {id: more, prompt: do more}\n"})
    run(repo, judge(APPROVE), tmp_path / "more.yaml")
    assert sorted(repo.landings()) == ["more/1", "one/1"]


@pytest.mark.parametrize("listed", [True, False])
def test_a_change_that_a_parked_review_holds_up_is_waited_for_by_no_run(make_repo, tmp_path, listed):
    repo = reviewed(make_repo, "approvals:\n  - {paths: [one.txt], by: reviewer}\n", attempts=1)
    add(repo, "one")
    run(repo, judge("exit 1"), ok=7)
    # One says "not yet" until trunk moves, and the other comes after the change.
    more = [{"id": "two", "prompt": "do two"}, {"id": "late", "prompt": "do late", "after": ["one"]}]
    write(tmp_path, {"more.yaml": json.dumps(more)})
    if not listed:
        add(repo, *more)
    said = run(repo, "exit 75", *([tmp_path / "more.yaml"] if listed else []), ok=7).stdout
    assert task(repo, "two")["reason"] == "not yet, it says, and nothing is left that moves trunk"
    said = " ".join(said.split())
    assert "blocked late: it comes after one, which waits for review-one-1, which is parked: " in said
    assert ("blocked one" in said) == (not listed), "it is not on the list"


def test_a_fleet_over_its_budget_does_not_wait_for_reviews(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one", "two")
    said = run(repo, f'test "$AGENTCTL_TASK" = one || exec sleep 1000; {WORK}', "--budget", "time=3s", ok=7).stdout
    assert "the fleet's budget is used up" in said and repo.stage("one") == "queued"


def test_a_review_that_nothing_is_left_of_is_closed(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one")
    # The reviewer approves, and forgets to say that it is done.
    run(repo, judge('agentctl approve "$(echo "$AGENTCTL_TASK" | cut -d- -f2)"'))
    assert task(repo, "review-one-1")["status"] == "done" and repo.landings() == ["one/1"]


def test_from_a_goal_to_an_approved_result(make_repo, tmp_path):
    repo = reviewed(make_repo)
    write(tmp_path, {"GOAL.md": "# Two files\n\nThere are one.txt and two.txt.\n"})
    planner = """
        if [ "$AGENTCTL_GENERATION" = 1 ]; then agentctl task add --id one "do one"; agentctl task add --id two "do two"
        else agentctl task done --reason "both are there"; fi
    """
    agent = f'case "$AGENTCTL_TASK" in goal*) {planner} ;; review-*) {APPROVE} ;; *) {WORK} ;; esac'
    run(repo, agent, "--agents", 3, "--goal", tmp_path / "GOAL.md")
    assert sorted(repo.landings()) == ["one/1", "two/1"]
    assert ends(repo, "goal-two-files") == ["planned", "done"]
    listed = json.loads(repo.cli("task", "list", "--json").stdout)
    assert {t["id"]: t["status"] for t in listed} == {
        "goal-two-files": "done",
        "one": "landed",
        "two": "landed",
        "review-one-1": "done",
        "review-two-1": "done",
    }
    nothing_is_left(repo)
    repo.proven()


def test_a_reviewer_that_only_judges_is_done(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one")
    run(repo, judge('agentctl approve "$(echo "$AGENTCTL_TASK" | cut -d- -f2)"'))
    (session,) = task(repo, "review-one-1")["sessions"]
    assert (session["end"], session["note"]) == ("done", "it has approved one/1")
    assert repo.landings() == ["one/1"]


@pytest.mark.parametrize("says", ["agentctl task done; true", 'echo "it is good" >"$AGENTCTL_SESSION/done"'])
def test_a_reviewer_that_says_it_is_done_and_judges_nothing_has_no_result(make_repo, says):
    repo = reviewed(make_repo, attempts=2)
    add(repo, "one")
    run(repo, judge(says), ok=7)
    assert ends(repo, "review-one-1") == ["empty", "empty"] and task(repo, "review-one-1")["status"] == "parked"
    assert "it approved and refused nothing" in task(repo, "review-one-1")["reason"]
    assert not repo.refs("refs/agentctl/tasks/review-one-1.2")


def test_a_review_that_a_person_closes_is_followed_by_another_until_none_can_be_opened(make_repo):
    repo = reviewed(make_repo, attempts=1)
    add(repo, "one")
    reviews = ["review-one-1", *(f"review-one-1.{n}" for n in range(2, 6))]
    for name in reviews:
        run(repo, judge("true"), ok=7)
        assert ends(repo, name) == ["empty"]
        repo.cli("task", "done", name)
    said = " ".join(run(repo, judge("true"), ok=7).stdout.split())
    assert "its review is parked: agentctl task open review-one-1 " in said and repo.stage("one") == "queued"
    assert "5 reviews of this change are closed" in task(repo, "review-one-1")["reason"]
    assert "agentctl task open review-one-1" in repo.cli("why", "one").stdout
    repo.cli("task", "open", "review-one-1")
    run(repo, judge(APPROVE))
    assert repo.landings() == ["one/1"]


def test_a_reviewer_comes_to_its_result_by_the_change_that_its_task_is_about(make_repo, tmp_path, monkeypatch):
    repo = reviewed(make_repo)
    for name in ("one", "two"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
    Reviews(repo.hub).follow(in_force(repo.hub)[1], Ledger.read(repo.hub), {}, ())
    claims.claim(repo.hub, "review-one-1", Claim("agent-2", 1, time.time() + 1000))
    words = {"HUB": repo.hub.git_dir, "AGENT": "agent-2", "TASK": "review-one-1", "SESSION": str(tmp_path)}
    for word, value in words.items():
        monkeypatch.setenv(f"AGENTCTL_{word}", value)
    repo.cli("approve", "two")
    assert not (tmp_path / "done").exists()
    repo.cli("approve", "one", "two")
    assert (tmp_path / "done").read_text() == "it has approved one/1\n"


def test_a_review_that_is_open_stays_so_when_a_person_has_closed_all_others(make_repo):
    repo = reviewed(make_repo, "approvals:\n  - {paths: ['*.txt'], by: reviewer, count: 2}\n")
    repo.submit("one", {"one.txt": "one\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
    fleet, (_, policy) = Reviews(repo.hub), in_force(repo.hub)
    first, *others = (reviewing.name_of("one/1", n) for n in range(1, reviewing.MOST + 2))
    for name in (*others, None):
        fleet.follow(policy, Ledger.read(repo.hub), tasks.listed(repo.hub), ())
        if name:
            repo.cli("task", "done", name)
    there = tasks.listed(repo.hub)
    assert [there[name].closed for name in (first, *others)] == ["", "parked", "done", "done", "done", "done"]
    assert there[others[0]].reason == "5 reviews of this change are closed, and it lacks an approval still"


def test_each_role_has_its_reviews_however_many_another_one_had(make_repo):
    rules = "approvals:\n  - {paths: ['*.txt'], by: reviewer, count: 6}\n  - {paths: ['*.txt'], by: guard}\n"
    repo = reviewed(make_repo, rules, agents="  roles: {guard: {does: review}}\n")
    add(repo, "one")
    assert "reviews     7 of 7 done" in run(repo, judge("agentctl approve one"), "--agents", 7).stdout
    assert repo.landings() == ["one/1"]


def test_reviews_in_the_archive_count_and_none_is_said_to_be_opened_that_is_there(make_repo):
    repo = reviewed(make_repo)
    repo.submit("one", {"one.txt": "one\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
    fleet, (_, policy) = Reviews(repo.hub), in_force(repo.hub)
    opens = "agentctl run opens review-one-1"
    for number in range(1, reviewing.MOST + 1):
        name = reviewing.name_of("one/1", number)
        assert (opens if number == 1 else f"{opens}.{number}") in " ".join(repo.cli("approve").stdout.split())
        fleet.follow(policy, Ledger.read(repo.hub), tasks.listed(repo.hub), ())
        assert list(tasks.listed(repo.hub)) == [name]
        repo.cli("task", "done", name)
        tasks.put_away(repo.hub, tasks.listed(repo.hub).values())
    assert "agentctl task open review-one-1" in " ".join(repo.cli("approve").stdout.split())
    fleet.follow(policy, Ledger.read(repo.hub), {}, ())
    (parked,) = tasks.listed(repo.hub).values()
    assert (parked.id, parked.closed) == ("review-one-1", "parked")
    assert parked.reason == "5 reviews of this change are closed, and it lacks an approval still"


def test_a_review_takes_no_number_that_is_spoilt_and_none_where_nothing_can_be_read(make_repo):
    repo = reviewed(make_repo)
    repo.submit("one", {"one.txt": "one\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
    fleet, (_, policy) = Reviews(repo.hub), in_force(repo.hub)
    names = [reviewing.name_of("one/1", n) for n in range(1, reviewing.MOST + 3)]
    for spoilt, opened in ((names[:-1], []), (names[:1], [names[1]])):
        for name in names:
            repo.git("update-ref", "-d", f"refs/agentctl/tasks/{name}")
        for name in spoilt:
            repo.git("update-ref", f"refs/agentctl/tasks/{name}", repo.tip)
        fleet.follow(policy, Ledger.read(repo.hub), tasks.listed(repo.hub), ())
        assert list(tasks.listed(repo.hub)) == opened


def test_one_approval_is_asked_for_by_one_review_whatever_number_of_rules_want_it(make_repo):
    repo = reviewed(make_repo)
    policy = repo.path / ".agentctl/policy.yaml"
    write(repo.path, {".agentctl/policy.yaml": policy.read_text() + "  - {paths: ['one*'], by: reviewer}\n"})
    repo.git("commit", "-qam", "a second rule")
    add(repo, "one")
    assert "reviews     1 of 1 done" in run(repo, judge(APPROVE)).stdout
    assert repo.landings() == ["one/1"]


def test_a_policy_that_asks_for_no_approval_any_more_closes_the_reviews(make_repo):
    repo = reviewed(make_repo)
    add(repo, "one")
    run(repo, judge("exit 1"), "--attempts", 1, ok=7)
    repo.cli("task", "open", "review-one-1")
    policy = repo.path / ".agentctl/policy.yaml"
    write(repo.path, {".agentctl/policy.yaml": policy.read_text().replace(RULES, "")})
    repo.git("commit", "-qam", "nothing is to be approved")
    run(repo, judge("exit 1"))
    assert repo.landings() == ["one/1"] and task(repo, "review-one-1")["status"] == "done"


def test_a_reviewer_that_judges_nothing_is_told_so(make_repo):
    repo = reviewed(make_repo, attempts=1)
    add(repo, "one")
    run(repo, judge("true"), ok=7)
    assert task(repo, "review-one-1")["status"] == "parked"
    assert "it approved and refused nothing" in task(repo, "review-one-1")["reason"]
