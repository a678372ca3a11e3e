"""Changes that others have to approve before the bot tests them."""

import json
import time

import pytest

from agentctl.bot import border
from agentctl.core.queue import approvals as rules
from agentctl.core.queue import events
from agentctl.core.queue.records import reason_kind
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.task import End, Session
from agentctl.fleet import session
from agentctl.hub import claims, inbox
from agentctl.hub.verification import prove
from tests.scenario.test_border import push, tag
from tests.scenario.test_rights import as_agent
from tests.scenario.test_verify import forged, rewrite
from tests.support.agents import add, started
from tests.support.hub import eventually, finish, policy, told, until

APPROVE, PERSON = '{"approve": true}', "{paths: [src/**], by: person}"


def asking(*rules, **values):
    """A policy with these rules of approval, which changes may alter."""
    text = policy(**values).replace("protect:\n  - .agentctl/**\n", "protect: []\n")
    return text + f"approvals: [{', '.join(rules)}]\n"


@pytest.fixture
def asked(make_repo):
    """Make a hub whose policy has these rules."""
    return lambda *rules, **values: make_repo(files={".agentctl/policy.yaml": asking(*rules, **values)})


def settled(repo, **options):
    """A bot, after it has done all that it can do without anybody."""
    with repo.bot(**options) as bot:
        until(bot, lambda: bot.idle or bot.halted)
    return bot


def approve(repo, name, by="tess", said=APPROVE, head=None, revision=9):
    """A review that comes by a push."""
    push(repo, name, tag(repo, head or repo.record(name).change.head, said), by, revision)


def approvers(repo, name):
    return [approval.by for approval in repo.record(name).approvals]


def answer(repo, by, name, revision=9):
    return json.loads(repo.git("show", f"refs/agentctl/outbox/{by}/{name}/{revision}:verdict.json"))["why"]


def test_a_change_waits_untested_until_it_is_approved_and_holds_up_nobody_else(asked):
    repo = asked(PERSON)
    repo.submit("core", {"src/core.py": "core\n"})
    repo.submit("after", {"after.txt": "after\n"}, after=["core"])
    repo.submit("free", {"free.txt": "free\n"})
    bot = settled(repo)
    assert repo.stages() == {"core/1": "queued", "after/1": "queued", "free/1": "landed"}
    assert {key for probe, _ in bot.judged for key in probe.chain} == {"free/1"}
    assert told(bot, "unapproved") == ["core/1 waits for 1 approval by a person for src/core.py: agentctl approve core/1"]

    # A person says so, by what is typed, and both land.
    said = repo.cli("approve", "core").stdout
    assert said == "core/1: approved by tess-tester; then it lacks no more\n"
    assert repo.cli("approve", "core").stdout == said and len(repo.refs("refs/agentctl/inbox")) == 1
    bot = repo.drain()
    assert told(bot, "approved") == ["tess-tester approves core/1"]
    assert repo.landings() == ["free/1", "core/1", "after/1"] and approvers(repo, "core") == ["tess-tester"]
    assert "tess-tester approves core/1" in repo.cli("why", "core").stdout
    assert "Approve" not in repo.git("log", "-1", "--format=%B", repo.record("core").commit)
    repo.proven()


def test_what_waits_and_for_what_is_said_wherever_somebody_looks(asked):
    repo = asked("{paths: [src/**], by: person, count: 2}", "{paths: ['**/*.sql'], count: 2}")
    head = repo.change({"src/a.sql": "a\n"}, "a table")
    said = repo.cli("submit", "--change", "table", "--agent", "ann", head).stdout
    lacks = "2 approvals by a person for src/a.sql, and 2 approvals by anybody but ann for src/a.sql"
    assert f"note: before it is tested it needs {lacks}: agentctl approve table/1" in said
    # Also before a bot has seen it.
    assert "table/1 of ann: a table" in repo.cli("approve").stdout
    push(repo, "table", tag(repo, head, APPROVE), "bob", 2)
    said = repo.cli("bot", "run", "--once").stdout
    left = "1 approval by a person for src/a.sql (bob has approved), and 1 approval by anybody but ann for src/a.sql"
    assert f"table/1 waits for {left} (bob has approved): agentctl approve table/1" in said
    assert "1 change waits for approvals: agentctl approve lists what is needed" in said

    shown = repo.cli("queue").stdout
    assert "not approved  table/1" in shown and "1 change waits for approvals" in shown
    why = " ".join(repo.cli("why", "table").stdout.split())
    assert f"it waits for {left}" in why
    step = why.rpartition("next: ")[2]
    assert step.endswith("then somebody else than ann: agentctl approve table/1")
    assert "+a" in repo.git(*step.partition(",")[0].split()[1:])
    listed = repo.cli("approve").stdout
    assert "lacks 1 approval by a person for src/a.sql" in listed and "(bob has approved)" in listed
    for words in (["queue"], ["why", "table"]):
        plain = json.loads(repo.cli(*words, "--json").stdout)
        lacking = plain["lacking"]["table/1"] if words == ["queue"] else plain["lacking"]
        assert [(one["rule"]["by"], one["given"]) for one in lacking] == [("person", ["bob"]), ("anybody", ["bob"])]
    [one] = json.loads(repo.cli("approve", "--json").stdout)["waiting"]
    assert (one["key"], one["head"], one["base"], one["agent"]) == ("table/1", head, repo.tip, "ann")

    # One approval counts for both rules.
    [one] = json.loads(repo.cli("approve", "table", "--json").stdout)["reviewed"]
    assert (one["by"], one["new"], one["lacking"]) == ("tess-tester", True, [])
    repo.drain()
    assert repo.stage("table") == "landed" and repo.cli("approve").stdout == "nothing waits for approvals\n"
    repo.proven()


def test_who_waits_for_it_is_told_and_goes_on_when_it_is_approved(asked):
    repo = asked(PERSON)
    repo.submit("core", {"src/core.py": "core\n"})
    settled(repo)
    said = repo.cli("wait", "core", "--timeout", "50ms", ok=124).stderr
    assert "waiting for core/1; it needs 1 approval by a person for src/core.py: agentctl approve core/1" in said


def test_an_approval_is_of_one_commit(asked):
    repo = asked("{paths: [src/**]}")
    old = repo.submit("x", {"src/x": "1\n"})
    settled(repo)
    approve(repo, "x", "bob")
    settled(repo)
    assert repo.stage("x") == "landed"

    repo.submit("y", {"src/y": "1\n"})
    settled(repo)
    old = repo.record("y").change.head
    approve(repo, "y", "bob", revision=2)
    with repo.bot() as bot:
        repo.cli("queue", "pause")
        until(bot, lambda: approvers(repo, "y"))
    # A newer head begins without, and what somebody says of the older one by then says nothing of it.
    repo.submit("y", {"src/y": "2\n"})
    approve(repo, "y", "carl", head=old, revision=7)
    repo.cli("queue", "resume")
    settled(repo)
    assert repo.stages() == {"x/1": "landed", "y/1": "superseded", "y/2": "queued"} and approvers(repo, "y") == []
    assert answer(repo, "carl", "y", 7) == f"it is of commit {old[:12]}, and y/2 is {repo.record('y').change.head[:12]}"
    assert [a["by"] for a in json.loads(repo.cli("queue", "--all", "--json").stdout)["ended"][-1]["approvals"]] == ["bob"]
    # Nor does one that was said before this revision was there.
    approve(repo, "y", "carl", revision=1)
    settled(repo)
    assert answer(repo, "carl", "y", 1) == "it was said before y/2 was submitted; say it again"
    repo.proven()


def test_who_names_a_revision_approves_no_newer_one(asked):
    repo = asked(PERSON)
    repo.submit("x", {"src/x": "1\n"})
    settled(repo)
    hint = repo.cli("approve").stdout.rpartition("hint: agentctl ")[2].partition(",")[0]
    assert hint == "approve x/1"
    repo.submit("x", {"src/x": "2\n"})
    settled(repo)
    assert "x/1 is superseded already" in repo.cli(*hint.split(), ok=5).stderr
    # Nor where the newer one comes just after.
    repo.cli("approve", "x/2")
    push(repo, "x", repo.change({"src/x": "3\n"}), "ann", 3)
    settled(repo)
    assert repo.stages() == {"x/1": "superseded", "x/2": "superseded", "x/3": "queued"} and approvers(repo, "x") == []


def test_nobody_approves_his_own_and_nobody_counts_twice(asked):
    repo = asked("{paths: [src/**], count: 2}")
    repo.submit("x", {"src/x": "x\n"})
    settled(repo)
    for n, by in enumerate(("ann", "bob", "bob", "bob"), 2):
        approve(repo, "x", by, revision=n)
    settled(repo)
    assert answer(repo, "ann", "x", 2) == "ann has submitted x/1; somebody else has to approve or refuse it"
    assert approvers(repo, "x") == ["bob"] and repo.stage("x") == "queued"
    assert "own; somebody else" in as_agent(repo, "ann", "approve", "x").stderr
    assert as_agent(repo, "carl", "approve", "x").returncode == 0
    repo.drain()
    assert repo.stage("x") == "landed" and approvers(repo, "x") == ["bob", "carl"]
    repo.proven()


def test_who_works_on_its_task_does_not_approve_it(asked):
    repo = asked("{paths: [src/**]}")
    add(repo, "job")
    repo.submit("job", {"src/x": "x\n"}, agent="agent-1", task="job", generation=1)
    settled(repo)
    claims.claim(repo.hub, "job", Claim("agent-2", 1, time.time() + 1000))
    approve(repo, "job", "agent-2")
    settled(repo)
    assert "agent-2 works on the task" in answer(repo, "agent-2", "job") and approvers(repo, "job") == []


def test_an_agent_is_no_person_and_has_no_role_that_its_task_has_not(asked):
    repo = asked(PERSON, "{paths: [src/**], by: reviewer}")
    add(repo, "other")
    claims.claim(repo.hub, "other", Claim("agent-2", 1, time.time() + 1000))
    repo.submit("x", {"src/x": "x\n"}, agent="agent-1")
    settled(repo)
    approve(repo, "x", "agent-2")
    approve(repo, "x", "agent-2", '{"refuse": "no"}', revision=10)
    settled(repo)
    needs = "x/1: it needs approvals by person and reviewer, and agent-2 is an agent of the role worker: it has the claim of task other"
    assert answer(repo, "agent-2", "x") == answer(repo, "agent-2", "x", 10) == needs
    assert needs in as_agent(repo, "agent-2", "approve", "x").stderr and repo.stage("x") == "queued"
    # For a role alone no person will do.
    repo.cli("approve", "x")
    settled(repo)
    assert approvers(repo, "x") == ["tess-tester"] and "the role reviewer" in repo.cli("why", "x").stdout


def test_a_reviewer_is_whose_task_says_so_as_long_as_that_is_its_last(asked):
    repo = asked("{paths: [src/**], by: reviewer, count: 2}")
    add(repo, {"id": "look", "role": "reviewer"}, {"id": "again", "role": "reviewer"}, "code")
    repo.submit("x", {"src/x": "x\n"}, agent="agent-1")
    settled(repo)
    # One at work on such a task, one whose session is over, and one that has gone on to change files.
    claims.claim(repo.hub, "look", Claim("agent-2", 1, time.time() + 1000))
    session.record(repo.hub, "again", Session(1, "agent-4", End.DEFERRED, 1.0, 1.0, repo.tip))
    session.record(repo.hub, "again", Session(2, "agent-3", End.DEFERRED, 2.0, 1.0, repo.tip))
    claims.claim(repo.hub, "code", Claim("agent-4", 1, time.time() + 1000))
    assert as_agent(repo, "agent-2", "approve", "x").returncode == 0
    approve(repo, "x", "agent-4")
    approve(repo, "x", "tess")
    settled(repo)
    assert "agent-4 is an agent of the role worker" in answer(repo, "agent-4", "x") and "tess is a person" in answer(
        repo, "tess", "x"
    )
    assert approvers(repo, "x") == ["agent-2"] and repo.stage("x") == "queued"
    approve(repo, "x", "agent-3", revision=10)
    repo.drain()
    assert [(a.by, a.role) for a in repo.record("x").approvals] == [("agent-2", "reviewer"), ("agent-3", "reviewer")]
    repo.proven()


def test_an_agent_approves_in_the_role_of_the_task_that_it_names_whatever_it_works_on_when_that_is_heard(asked):
    repo = asked("{paths: [src/**], by: reviewer, count: 3}")
    add(repo, {"id": "look", "role": "reviewer"}, {"id": "other", "role": "reviewer"}, "code", "more")
    repo.submit("x", {"src/x": "x\n"}, agent="agent-1")
    settled(repo)
    for by in ("agent-2", "agent-3"):
        session.record(repo.hub, "look", Session(int(by[-1]), by, End.DONE, float(by[-1]), 1.0, repo.tip))
    claims.claim(repo.hub, "code", Claim("agent-2", 1, time.time() + 1000))
    claims.claim(repo.hub, "more", Claim("agent-3", 1, time.time() + 1000))
    head = repo.record("x").change.head
    inbox.review(repo.hub, "x", head, "agent-2", task="look")
    # That of a task that was never its own counts for nothing.
    false = inbox.review(repo.hub, "x", head, "agent-3", task="other")
    settled(repo)
    assert [(a.by, a.role) for a in repo.record("x").approvals] == [("agent-2", "reviewer")]
    assert "agent-3 is an agent of the role worker" in answer(repo, "agent-3", "x", int(false.key.split("/")[1]))


def test_a_person_whose_name_a_record_gives_to_an_agent_is_told_which_and_what_to_do(asked):
    repo = asked(PERSON)
    add(repo, "old")
    session.record(repo.hub, "old", Session(1, "tess-tester", End.DEFERRED, 1.0, 1.0, repo.tip))
    repo.submit("x", {"src/x": "x\n"})
    settled(repo)
    said = repo.cli("approve", "x", ok=5).stderr
    assert "tess-tester is an agent of the role worker: it had a session of task old" in " ".join(said.split())
    assert "git config user.name NAME" in said
    approve(repo, "x", "tess-tester")
    settled(repo)
    assert answer(repo, "tess-tester", "x").endswith("it had a session of task old") and not approvers(repo, "x")
    # An agent is never told to take another name.
    said = as_agent(repo, "tess-tester", "approve", "x").stderr
    assert "it had a session of task old" in " ".join(said.split()) and "user.name" not in said
    repo.git("config", "user.name", "Tess T")
    repo.cli("approve", "x")
    repo.drain()
    assert approvers(repo, "x") == ["tess-t"]
    repo.proven()


def test_an_agent_in_its_worktree_speaks_as_itself(asked):
    repo = asked(PERSON)
    repo.submit("x", {"src/x": "x\n"})
    settled(repo)
    script = "agentctl approve x; agentctl --json approve; echo done >did; git add -A; git commit -qm did"
    repo.cli("spawn", "robo", "--", "sh", "-c", script)
    log = " ".join(repo.cli("logs", "robo").stdout.split())
    assert "x/1: it needs approvals by person, and robo is an agent without a role" in log and '"waiting": [{"key": "x/1"' in log


def test_what_needs_no_approval_takes_none(asked):
    repo = asked(PERSON)
    repo.cli("queue", "pause")
    repo.submit("x", {"x.txt": "x\n"})
    with repo.bot() as bot:
        until(bot, lambda: "x/1" in bot.state.queue)
        assert "x/1: no rule of the policy in force asks for" in repo.cli("approve", "x", ok=5).stderr
        for n, said in enumerate((APPROVE, '{"refuse": "no"}'), 2):
            approve(repo, "x", "bob", said, revision=n)
        until(bot, lambda: not inbox.waits(repo.hub))
        repo.cli("queue", "resume")
        finish(bot)
    assert all("no rule" in answer(repo, "bob", "x", n) for n in (2, 3))
    assert repo.landings() == ["x/1"] and approvers(repo, "x") == []
    assert "x/1 is landed already" in repo.cli("approve", "x", ok=5).stderr
    repo.cli("approve", "nothing", ok=4)


def test_a_refusal_sends_a_change_back_with_all_that_was_said(asked):
    repo = asked(PERSON)
    repo.submit("x", {"src/x": "x\n"})
    repo.submit("on-it", {"y.txt": "y\n"}, after=["x"])
    settled(repo)
    why = "It leaks the handle.\nSee close(): " + "x" * 3000
    assert (
        "refused by tess-tester; at the bot's next turn it goes back to ann" in repo.cli("approve", "x", "--refuse", why).stdout
    )
    settled(repo)
    record, verdict = repo.record("x"), repo.verdict("x")
    assert (record.stage, reason_kind(record), record.reason.by) == ("rejected", "review", "tess-tester")
    assert record.why == verdict["why"] == f"tess-tester refuses it: {why}" and verdict["by"] == "tess-tester"
    assert repo.kind("on-it") == "dependency"
    shown = repo.cli("why", "x").stdout
    assert "tess-tester refuses it: It leaks the handle." in shown and "next: mend it" in shown
    assert repo.cli("wait", "x", ok=5).stderr.startswith("agentctl: x/1 was rejected: tess-tester refuses it")
    # The same head may be submitted anew, and waits anew.
    repo.cli("queue", "retry", "x")
    settled(repo)
    assert repo.stages()["x/2"] == "queued"
    for words in (["approve", "--refuse", "no"], ["approve", "x", "--refuse", " "], ["approve", "x", "--refuse", "x" * 10_001]):
        assert "hint: " in repo.cli(*words, ok=2).stderr
    repo.proven()


def test_the_next_session_of_its_agent_is_told(asked, tmp_path):
    repo = asked("{paths: [src/**]}", agent_timeout="50s")
    add(repo, "job")
    # The first session is refused by what stands beside it; the second reads why.
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    script = (
        f'cp "$AGENTCTL_PROMPT_FILE" {prompts}/$AGENTCTL_GENERATION; mkdir -p src; '
        'if [ "$AGENTCTL_GENERATION" = 1 ]; then echo 1 >src/x; else echo 2 >y; fi; git add -A; git commit -qm work'
    )
    going = started(repo, script)
    try:
        eventually(lambda: repo.stages().get("job/1") == "queued")
        approve(repo, "job", "bob", json.dumps({"refuse": "It has no test.\nAdd one."}))
        assert going.wait(60) == 0, going.stderr.read()
    finally:
        going.kill()
        going.communicate()
    assert repo.stages() == {"job/1": "rejected", "job/2": "landed"}
    told = (prompts / "2").read_text()
    assert "bob has looked at it, and refuses it; no gate said so:\n\n> bob refuses it: It has no test.\n> Add one.\n" in told
    repo.proven()


def test_a_new_policy_asks_anew_and_what_was_approved_stays(asked):
    repo = asked("{paths: [src/**], count: 2}", timeout="5s")
    repo.submit("x", {"src/x": "x\n"})
    repo.submit("y", {"y": "y\n"})
    settled(repo)
    approve(repo, "x", "bob")
    settled(repo)
    assert repo.stages() == {"x/1": "queued", "y/1": "landed"}
    # One approval is enough now; of another path one is asked for.
    repo.submit("rules", {".agentctl/policy.yaml": asking("{paths: [src/**]}", "{paths: [z]}", timeout="5s")})
    repo.submit("z", {"z": "SLOW\n"}, after=["rules"])
    settled(repo)
    assert repo.stages() == {"x/1": "landed", "y/1": "landed", "rules/1": "landed", "z/1": "queued"}
    assert approvers(repo, "x") == ["bob"] and "not approved  z/1" in repo.cli("queue").stdout
    repo.proven()


def test_a_policy_that_asks_stops_what_is_being_tested(asked):
    repo = asked()
    repo.submit("x", {"src/x": "SLOW\n"})
    with repo.bot(slots=1) as bot:
        until(bot, lambda: any("x/1" in s.probe.chain for s in bot.state.probes))
        repo.push({".agentctl/policy.yaml": asking(PERSON)})
        until(bot, lambda: bot.halted)
        assert set(bot.state.queue) == {"x/1"} and not [s for s in bot.state.probes if s.probe.chain]
        repo.push({".agentctl/policy.yaml": asking()})
        until(bot, lambda: any("x/1" in s.probe.chain for s in bot.state.probes))


def test_a_rule_about_the_policy_guards_the_rules(asked):
    repo = asked("{paths: [.agentctl/**], by: person}")
    repo.submit("rules", {".AGENTCTL/policy.yaml": "x\n", ".agentctl/policy.yaml": asking()})
    settled(repo)
    assert repo.stage("rules") == "rejected", "two names for one file"
    repo.submit("rules", {".agentctl/policy.yaml": asking()})
    settled(repo)
    assert repo.stage("rules") == "queued"
    repo.cli("approve", "rules")
    repo.drain()
    assert repo.stage("rules") == "landed"
    repo.proven()


def test_a_change_on_top_of_one_that_waits_waits_with_it(asked):
    repo = asked(PERSON)
    below = repo.change({"src/x": "x\n"}, "below")
    repo.hand_in("s1-below", below)
    repo.hand_in("s2-above", repo.change({"y": "y\n"}, "above", below))
    settled(repo)
    # Only what the upper one adds is its own.
    assert [one["key"] for one in json.loads(repo.cli("approve", "--json").stdout)["waiting"]] == ["s1-below/1"]
    assert repo.stages() == {"s1-below/1": "queued", "s2-above/1": "queued"}
    repo.cli("approve", "s1-below")
    repo.drain()
    assert repo.landings() == ["s1-below/1", "s2-above/1"]
    repo.proven()


def test_all_paths_of_a_large_change_count(asked):
    repo = asked("{paths: [zz/**]}")
    repo.submit("x", {f"a/{n}": "x\n" for n in range(600)} | {"zz/x": "x\n"})
    settled(repo)
    assert repo.stage("x") == "queued"
    assert "anybody but ann for zz/x" in " ".join(repo.cli("why", "x").stdout.split())
    approve(repo, "x", "bob")
    repo.drain()
    assert repo.stage("x") == "landed"
    repo.proven()


def test_an_edit_that_a_rename_carries_into_a_guarded_folder_is_sent_back(make_repo):
    text = "".join(f"line {n}\n" for n in range(40))
    repo = make_repo(files={".agentctl/policy.yaml": asking(PERSON), "lib/a.py": text})
    old = repo.tip
    repo.push({"lib/a.py": None, "src/a.py": text})
    repo.submit("x", {"lib/a.py": text.replace("line 7\n", "evil\n")}, base=old)
    settled(repo)
    assert repo.kind("x") == "policy" and "it would change src/a.py, which needs approvals" in repo.record("x").why
    assert repo.show("src/a.py") == text
    repo.proven()


def test_nor_does_an_edit_reach_a_protected_file_by_a_rename(make_repo):
    text = "".join(f"line {n}\n" for n in range(40))
    guarding = policy().replace("  - .agentctl/**\n", "  - .agentctl/**\n  - src/**\n")
    repo = make_repo(files={".agentctl/policy.yaml": guarding, "lib/a.py": text})
    old = repo.tip
    repo.push({"lib/a.py": None, "src/a.py": text})
    repo.submit("x", {"lib/a.py": text.replace("line 7\n", "evil\n")}, base=old)
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.kind("x") == "policy" and "it would change src/a.py, which no change may touch" in repo.record("x").why
    assert repo.landings() == ["good/1"] and repo.show("src/a.py") == text
    repo.proven()


def test_on_a_red_trunk_too_nothing_lands_without_approvals(asked):
    repo = asked(PERSON, retries=0)
    repo.push({"bug.txt": "BUG\n"})
    repo.submit("mend", {"bug.txt": "fine\n", "src/x": "x\n"}, mends=True)
    with repo.bot() as bot:
        until(bot, lambda: bot.blocked)
        assert "mend/1" in bot.state.queue
        approve(repo, "mend", "tess")
        finish(bot)
    assert repo.landings()[-1] == "mend/1"
    repo.proven()


# What a stranger may push.


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{"approve": 1}', "approve: expected bool, got int"),
        ('{"approve": false}', "approve is false"),
        ('{"approve": true, "refuse": "no"}', "approve and refuse in one"),
        ('{"refuse": ["no"]}', "got array"),
        ('{"refuse": ""}', "refuse without a reason"),
        ('{"approve": true', "truncated"),
        (json.dumps({"refuse": "x" * 10_001}), "length <= 10000"),
    ],
)
def test_what_is_no_review_is_answered_and_changes_nothing(asked, said, why):
    repo = asked("{paths: [src/**]}")
    repo.submit("x", {"src/x": "x\n"}, agent="bob")
    settled(repo)
    approve(repo, "x", "bob", said)
    settled(repo)
    assert repo.stages() == {"x/1": "queued", "x/9": "rejected"} and approvers(repo, "x") == []
    assert why in repo.record("x/9").why
    repo.proven()


def test_a_tag_of_another_object_approves_nothing(asked):
    repo = asked("{paths: [src/**]}")
    head = repo.submit("x", {"src/x": "x\n"})
    settled(repo)
    for n, (oid, kind) in enumerate(
        [
            (repo.tip, "commit"),
            (repo.hub.objects.commit(head).tree, "tree"),
            (tag(repo, head, APPROVE), "tag"),
            ("1" * 40, "commit"),
        ],
        2,
    ):
        push(repo, "x", tag(repo, oid, APPROVE, kind), "bob", n)
    push(repo, "x", head, "carl", 6)
    settled(repo)
    assert approvers(repo, "x") == [] and repo.stage("x") == "queued" and repo.refs("refs/agentctl/inbox") == []
    assert "it is of commit" in answer(repo, "bob", "x", 2)
    assert [repo.stages()[f"x/{n}"] for n in (3, 4, 5, 6)] == ["rejected"] * 4
    repo.proven()


def test_a_review_of_what_is_not_queued_is_answered(asked):
    repo = asked("{paths: [src/**]}")
    push(repo, "nothing", tag(repo, repo.tip, APPROVE), "bob", 1)
    push(repo, "nothing", tag(repo, repo.tip, '{"refuse": "no"}'), "carl", 2)
    settled(repo)
    assert answer(repo, "bob", "nothing", 1) == answer(repo, "carl", "nothing", 2) == "no revision of nothing is queued"
    assert repo.stages() == {}
    repo.proven()


def test_the_name_in_the_ref_is_who_asks(asked):
    # What the tag says of its tagger counts for nothing; a name that no agent has is a person's.
    repo = asked(PERSON)
    repo.submit("x", {"src/x": "x\n"}, agent="agent-1")
    add(repo, "other")
    claims.claim(repo.hub, "other", Claim("agent-1", 1, time.time() + 1000))
    settled(repo)
    approve(repo, "x", "agent-1")
    settled(repo)
    assert approvers(repo, "x") == []
    approve(repo, "x", "tess")
    repo.drain()
    assert [(a.by, a.person) for a in repo.record("x").approvals] == [("tess", True)]


def test_a_flood_of_approvals_holds_up_nobody_and_fills_no_record(asked):
    repo = asked("{paths: [src/**], by: person, count: 2}", "{paths: [src/**], count: 2}")
    head = repo.submit("x", {"src/x": "x\n"}, agent="ann")
    add(repo, *(f"t-{n}" for n in range(30)))
    for n in range(30):
        claims.claim(repo.hub, f"t-{n}", Claim(f"evil-{n}", 1, time.time() + 1000))
    settled(repo)
    oid, fill = tag(repo, head, APPROVE), repo.hub.refs.transaction("flood")
    for n in range(30):
        for number in range(10):
            fill.create(f"refs/agentctl/inbox/evil-{n}/x/{2 + n * 10 + number}", oid)
    for n in range(130):
        fill.create(f"refs/agentctl/inbox/evil/x/{1000 + n}", oid)
    fill.commit()
    repo.submit("good", {"good.txt": "good\n"}, agent="bob")
    with repo.bot() as bot:
        bot.take_turn()
        assert "good/1" in bot.state.queue and len(repo.refs("refs/agentctl/inbox")) == 130 - border.EACH
        until(bot, lambda: bot.halted)
    # Those who are no persons are enough for the second rule, and of them no more are kept than a record holds.
    kept = approvers(repo, "x")
    assert rules.ENOUGH <= len(kept) <= rules.ENOUGH + 1 and len(set(kept)) == len(kept) and "evil" in kept
    assert repo.stages() == {"x/1": "queued", "good/1": "landed"}
    approve(repo, "x", "tess", revision=5000)
    repo.drain()
    assert repo.stage("x") == "landed" and "tess" in approvers(repo, "x")
    repo.proven()


# What verify says of it.


def test_verify_finds_what_landed_without(asked):
    repo = asked(PERSON, "{paths: ['**/*.sql']}")
    repo.submit("x", {"src/x.sql": "x\n"})
    settled(repo)
    approve(repo, "x", "tess")
    repo.drain()
    repo.proven()
    record = repo.record("x")
    for spoilt in ((), (record.approvals[0].__class__("ann", 1.0, True),), (record.approvals[0].__class__("tess", 1.0),)):
        rewrite(repo, forged(repo, "x/1", approvals=spoilt))
        [found] = [f for f in prove(repo.hub, "main")[1] if f.grave]
        assert found.invariant == 8 and found.text.startswith("x/1 landed without 1 approval by a person for src/x.sql")
    rewrite(repo, forged(repo, "x/1", approvals=record.approvals))
    repo.proven()


@pytest.mark.parametrize("what", ["root", "gone", "tree", "elsewhere"])
def test_verify_of_a_landing_that_cannot_be_believed(asked, what):
    repo = asked(PERSON)
    repo.submit("x", {"x": "x\n"})
    repo.drain()
    objects, tree = repo.hub.objects, repo.hub.objects.commit(repo.tip).tree
    commits = {
        "root": objects.write_commit(tree, (), "root\n", 1),
        "gone": "1" * 40,
        "tree": tree,
        "elsewhere": repo.change({"src/y": "y\n"}),
    }
    rewrite(repo, forged(repo, "x/1", commit=commits[what]))
    found = " ".join(f.text for f in prove(repo.hub, "main")[1] if f.grave)
    assert "x/1 is not in the tested commit" in found
    assert ("x/1 changed src/y where it landed, without approvals" in found) == (what == "elsewhere")
    assert ("nothing proves that x/1 was approved" in found) == (what in ("gone", "tree"))


def test_what_was_asked_for_later_is_no_finding(asked):
    repo = asked()
    repo.submit("x", {"src/x": "x\n"})
    repo.drain()
    repo.push({".agentctl/policy.yaml": asking(PERSON)})
    repo.drain()
    repo.proven()


def test_a_bot_that_is_cut_off_keeps_what_was_approved(asked):
    repo = asked("{paths: [src/**], count: 2}")
    repo.submit("x", {"src/x": "x\n"})
    settled(repo)
    for by, n in (("bob", 2), ("carl", 3)):
        approve(repo, "x", by, revision=n)
        with repo.bot() as bot:
            bot.take_turn()
            assert by in approvers(repo, "x")
    repo.drain()
    assert repo.landings() == ["x/1"]
    assert any(isinstance(e, events.Approved) for _, turn in repo.drain().ledger.history() for e in turn)
    repo.proven()
