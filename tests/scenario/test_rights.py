"""Who may replace, withdraw or bump a queued change."""

import subprocess
import time

from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.task import End, Session
from agentctl.fleet import session
from agentctl.hub import claims, inbox
from tests.scenario.test_border import push, tag
from tests.support.agents import add
from tests.support.hub import command, environment, until


def as_agent(repo, agent, *words, task=None):
    """A command in the session of an agent."""
    env = environment() | {"AGENTCTL_AGENT": agent} | ({"AGENTCTL_TASK": task} if task else {})
    return subprocess.run(command(*words), cwd=repo.path, env=env, capture_output=True, text=True)


def queued(repo, name, agent="ann", **facts):
    """A change that waits in a frozen queue."""
    repo.cli("queue", "pause", "--below", "1000")
    head = repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=agent, **facts)
    with repo.bot() as bot:
        until(bot, lambda: f"{name}/1" in bot.state.queue)
    return head


def taken_in(repo):
    with repo.bot() as bot:
        until(bot, lambda: not inbox.waits(repo.hub))
        return {r.key: (r.change.agent, r.change.priority) for r in bot.state.queue.values()}


def test_a_stranger_is_refused_and_what_is_queued_stays(repo):
    head = queued(repo, "x")
    push(repo, "x", repo.change({"x.txt": "mine\n"}), revision=2)
    push(repo, "x", tag(repo, head, '{"withdraw": true}'), revision=3)
    push(repo, "x", tag(repo, head, '{"bump": true, "priority": 1000}'), revision=4)
    push(repo, "x", tag(repo, head, '{"priority": true}'), revision=5)
    assert taken_in(repo) == {"x/1": ("ann", 0)}
    # Each is answered, and none of them tells anything of the change.
    assert repo.stages() == {"x/1": "queued", "x/2": "rejected", "x/5": "rejected"}
    for number in range(2, 6):
        assert "neither submitted it" in repo.git("show", f"refs/agentctl/outbox/evil/x/{number}:verdict.json")
    assert "x/1: queued" in repo.cli("why", "x").stdout and "neither submitted" in " ".join(repo.cli("why", "x/2").stdout.split())
    repo.cli("queue", "resume")
    repo.drain()
    assert repo.landings() == ["x/1"] and repo.show("x.txt") == "x\n"
    repo.proven()


def test_the_same_agent_may(repo):
    head = queued(repo, "x")
    push(repo, "x", tag(repo, head, '{"bump": true, "priority": 7}'), "ann", 2)
    assert taken_in(repo) == {"x/1": ("ann", 7)}
    push(repo, "x", repo.change({"x.txt": "newer\n"}), "ann", 3)
    assert taken_in(repo) == {"x/3": ("ann", 0)}
    push(repo, "x", tag(repo, head, '{"withdraw": true}'), "ann", 4)
    assert taken_in(repo) == {}


def test_what_was_asked_before_a_newer_revision_is_not_meant_for_that(repo):
    head = queued(repo, "x")
    push(repo, "x", repo.change({"x.txt": "newer\n"}), "ann", 5)
    taken_in(repo)
    push(repo, "x", tag(repo, head, '{"withdraw": true}'), "ann", 3)
    assert taken_in(repo) == {"x/5": ("ann", 0)}


def test_who_works_on_its_task_now_may(repo):
    add(repo, "job")
    queued(repo, "job", "agent-1", task="job", generation=1)
    head = repo.change({"job.txt": "better\n"})
    session.record(repo.hub, "job", Session(1, "agent-1", End.SUBMITTED, 1.0, 1.0, repo.tip, 1))
    claims.claim(repo.hub, "job", Claim("agent-2", 2, time.time() + 1000))
    push(repo, "job", tag(repo, head, '{"task": "job", "generation": 2}'), "agent-3", 2)
    push(repo, "job", tag(repo, head, '{"task": "job", "generation": 2}'), "agent-2", 3)
    assert taken_in(repo) == {"job/3": ("agent-2", 0)}
    assert repo.stages() == {"job/1": "superseded", "job/2": "rejected", "job/3": "queued"}


def test_who_worked_on_its_task_last_may(repo):
    # The claim goes as soon as a session has submitted, often before a bot looks.
    add(repo, "job")
    queued(repo, "job", "agent-1", task="job", generation=1)
    session.record(repo.hub, "job", Session(2, "agent-2", End.SUBMITTED, 1.0, 1.0, repo.tip))
    push(repo, "job", repo.change({"job.txt": "better\n"}), "agent-2", 2)
    assert taken_in(repo) == {"job/2": ("agent-2", 0)}


def test_a_person_acts_in_the_name_of_the_changes_agent(repo):
    queued(repo, "x", "agent-7")
    repo.cli("queue", "bump", "x", "--priority", "3")
    assert taken_in(repo) == {"x/1": ("agent-7", 3)}
    head = repo.change({"x.txt": "mended by a person\n"})
    repo.cli("submit", "--change", "x", head)
    assert taken_in(repo) == {"x/2": ("agent-7", 0)}
    repo.cli("withdraw", "x")
    assert taken_in(repo) == {}


def test_in_a_session_the_agent_asks(repo):
    queued(repo, "x", "agent-7")
    head = repo.change({"x.txt": "mine\n"})
    for words in (("withdraw", "x"), ("queue", "bump", "x"), ("submit", "--change", "x", head)):
        said = as_agent(repo, "agent-8", *words)
        assert said.returncode == 5 and "x/1 is queued for agent-7" in said.stderr and "hint: " in said.stderr
    assert as_agent(repo, "agent-7", "queue", "bump", "x", "--priority", "3").returncode == 0
    assert taken_in(repo) == {"x/1": ("agent-7", 3)}
    # Of what is rejected nobody else makes a new try either.
    repo.submit("bad", {".agentctl/policy.yaml": "no\n"}, agent="agent-7")
    taken_in(repo)
    assert as_agent(repo, "agent-8", "queue", "retry", "bad").returncode == 5
    assert as_agent(repo, "agent-7", "queue", "retry", "bad").returncode == 0


def test_a_name_that_is_free_is_anybodys(repo):
    repo.submit("x", {"x.txt": "BUG\n"}, agent="ann")
    repo.drain()
    repo.submit("x", {"x.txt": "x\n"}, agent="bob")
    repo.drain()
    assert repo.stages() == {"x/1": "rejected", "x/2": "landed"}


def test_the_change_of_a_task_is_whose_who_works_on_it(repo):
    for name in ("job", "other"):
        add(repo, name)
    claims.claim(repo.hub, "job", Claim("agent-2", 1, time.time() + 1000))
    head = repo.change({"x.txt": "x\n"})
    # The session of another task, a person, and whoever pushes.
    said = as_agent(repo, "agent-3", "submit", "--change", "job", head, task="other")
    assert said.returncode == 5 and "job is another task; yours is other" in said.stderr
    assert "a task that agent-2 works on" in repo.cli("submit", "--change", "job", head, ok=5).stderr
    push(repo, "job", head, "mallory", 1)
    push(repo, "job", tag(repo, head, '{"task": "job", "generation": 1}'), "mallory", 2)
    assert taken_in(repo) == {}
    assert repo.stages() == {"job/1": "rejected", "job/2": "rejected"}
    assert "a task that agent-2 works on" in repo.record("job").why
    # The one whose it is can hand in, and is not numbered behind the others.
    push(repo, "job", tag(repo, repo.change({"job.txt": "job\n"}), '{"task": "job", "generation": 1}'), "agent-2", 3)
    assert taken_in(repo) == {"job/3": ("agent-2", 0)}


def test_no_number_that_a_stranger_takes_is_a_change_out_of_reach(repo):
    queued(repo, "x", "bob")
    push(repo, "x", repo.change({"x.txt": "not mine\n"}), "mallory", 999_999_999)
    assert taken_in(repo) == {"x/1": ("bob", 0)}
    assert repo.stages()["x/999999999"] == "rejected"
    repo.cli("queue", "bump", "x", "--priority", "3")
    assert taken_in(repo) == {"x/1": ("bob", 3)}
    repo.cli("submit", "--change", "x", repo.change({"x.txt": "newer\n"}))
    assert taken_in(repo) == {"x/2": ("bob", 0)}
    # Nor while the stranger's request still waits.
    push(repo, "x", repo.change({"x.txt": "once more\n"}), "mallory", 888_888_888)
    repo.cli("submit", "--change", "x", repo.change({"x.txt": "newest\n"}))
    assert taken_in(repo) == {"x/3": ("bob", 0)}
    repo.cli("withdraw", "x")
    assert taken_in(repo) == {}


def test_what_is_withdrawn_can_be_submitted_again_at_once(repo):
    head = repo.change({"x.txt": "x\n"})
    for words in (("submit", "--change", "x", head), ("withdraw", "x"), ("submit", "--change", "x", head)):
        repo.cli(*words)
    assert "waiting already" in repo.cli("submit", "--change", "x", head).stdout
    repo.drain()
    assert repo.stages() == {"x/1": "withdrawn", "x/3": "landed"}
    # Nor is a withdrawal forgotten that the bot has not seen yet, while what it withdraws is queued.
    other = queued(repo, "y")
    repo.cli("withdraw", "y")
    repo.cli("submit", "--change", "y", other)
    assert taken_in(repo) == {"y/3": ("ann", 0)}
