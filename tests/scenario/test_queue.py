"""The queue, told as transcripts on real Git: what a change can live through."""

from tests.support.hub import finish, policy, until


def test_one_change_lands(repo):
    # Ann submits. Until a bot looks, her change is one ref in the inbox.
    head = repo.submit("greet", {"greet.txt": "hello\n"})
    assert repo.stage("greet") == "waiting"
    assert repo.refs() == ["refs/agentctl/inbox/ann/greet/1"]

    # The bot tests trunk itself, then trunk with the change, and moves trunk.
    bot = repo.drain()
    record = repo.record("greet")
    assert record.stage == "landed"
    assert record.commit == repo.tip
    assert [len(probe.chain) for probe, _ in bot.judged] == [0, 1]

    # The files in the checkout came along; the author is Ann, and the labels are the bot's.
    assert (repo.path / "greet.txt").read_text() == "hello\n"
    assert repo.git("status", "--porcelain") == ""
    assert repo.git("log", "-1", "--format=%an %cn") == "Ann agentctl\n"
    assert repo.landings() == ["greet/1"]

    # Inbox and stage are empty again; the ledger keeps her head reachable.
    assert repo.refs() == ["refs/agentctl/state", "refs/agentctl/verdicts"]
    assert repo.git("merge-base", "--is-ancestor", head, "refs/agentctl/state") == ""
    assert repo.proven().landed == 1


def test_the_culprit_of_a_batch_is_found_and_told_why(repo):
    # Four changes wait, one of them bad. They are tested together first.
    for name in ("one", "two", "four"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    head = repo.submit("three", {"three.txt": "a BUG\n"})
    bot = repo.drain()
    first = next(probe for probe, _ in bot.judged if probe.chain)
    assert len(first.chain) == 4

    # The good ones landed, each once; the bad one did not.
    assert sorted(repo.landings()) == ["four/1", "one/1", "two/1"]
    assert repo.stages()["three/1"] == "rejected"

    # The answer builds on what was submitted and holds the evidence.
    answer = repo.answer("three")
    assert "three.txt" in answer["gate.log"] and "found a bug" in answer["gate.log"]
    verdict = repo.verdict("three")
    assert verdict["kind"] == "gate" and verdict["step"] == "check" and verdict["exit"] == 1
    assert "three/1" in verdict["chain"] and verdict["failed"] != verdict["passed"]
    assert repo.git("rev-parse", "refs/agentctl/outbox/ann/three/1^").strip() == head

    # `why` tells it, and what to do next.
    said = repo.cli("why", "three").stdout
    assert "three/1: rejected" in said and "found a bug" in said and "next: " in said
    assert repo.proven().rejected == 1


def test_a_conflict_goes_back_with_both_sides(make_repo):
    repo = make_repo(files={"color": "grey\n"})
    repo.submit("red", {"color": "red\n"})
    repo.submit("blue", {"color": "blue\n"}, agent="bob")
    repo.drain()

    # Whichever was first landed; the other one is told of it, by name and as a diff.
    won, lost = ("red", "blue") if repo.stages()["red/1"] == "landed" else ("blue", "red")
    assert repo.stages() == {f"{won}/1": "landed", f"{lost}/1": "rejected"}
    assert repo.kind(lost) == "conflict"
    assert f"{won}/1" in repo.record(lost).why
    verdict = repo.verdict(lost)
    assert verdict["paths"] == ["color"]
    assert [other["change"] for other in verdict["with"]] == [f"{won}/1"]
    diff = repo.answer(lost)["conflict.diff"]
    assert "<<<<<<<" in diff and won in diff and lost in diff
    repo.proven()


def test_a_newer_head_takes_the_place_of_an_older_one(repo):
    # The first version is queued already when the second comes.
    repo.submit("draft", {"draft.txt": "SLOW\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.state.queue)
        repo.submit("draft", {"draft.txt": "second\n"})
    repo.drain()
    assert repo.stages() == {"draft/1": "superseded", "draft/2": "landed"}
    assert "draft/2" in repo.record("draft/1").why
    assert repo.show("draft.txt") == "second\n"

    # Two versions that the bot sees at once end the same way.
    repo.submit("twin", {"twin.txt": "first\n"})
    repo.submit("twin", {"twin.txt": "last\n"})
    repo.drain()
    assert repo.stages()["twin/1"] == "superseded"
    assert repo.show("twin.txt") == "last\n"
    repo.proven()


def test_a_change_is_withdrawn_before_its_admission(repo):
    repo.submit("regret", {"regret.txt": "no\n"})
    repo.cli("withdraw", "regret")
    assert "already" in repo.cli("withdraw", "regret").stdout
    repo.drain()
    assert repo.stage("regret") in ("withdrawn", "superseded")
    assert repo.show("regret.txt") is None
    repo.proven()


def test_a_change_is_withdrawn_after_its_admission(repo):
    # Its gate is running when its author thinks again: the gate is stopped, and what
    # came after it does not wait for its end.
    head = repo.submit("regret", {"regret.txt": "SLOW\n"})
    with repo.bot(slots=1) as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        repo.cli("withdraw", "regret")
        repo.submit("other", {"other.txt": "fine\n"})
        finish(bot)
    assert [str(j.verdict) for probe, j in bot.judged if "regret/1" in probe.chain] == ["aborted"]
    assert repo.stages() == {"regret/1": "withdrawn", "other/1": "landed"}
    assert repo.git("merge-base", "--is-ancestor", head, "refs/agentctl/state") == ""
    assert repo.show("regret.txt") is None

    # It cannot be withdrawn twice, but submitted again.
    assert "withdrawn already" in repo.cli("withdraw", "regret", ok=5).stderr
    assert repo.hand_in("regret", head).new
    repo.proven()


def test_the_same_head_submitted_again_is_nothing_new(repo):
    head = repo.submit("once", {"once.txt": "once\n"})
    assert not repo.hand_in("once", head).new
    repo.drain()
    before = repo.tip, repo.stages()
    assert not repo.hand_in("once", head).new
    repo.drain()
    assert (repo.tip, repo.stages()) == before
    assert repo.landings() == ["once/1"]


def test_a_rejected_head_is_tried_again_only_on_request(repo):
    head = repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    receipt = repo.hand_in("bad", head)
    assert (receipt.new, receipt.stage) == (False, "rejected")
    assert repo.hand_in("bad", head, again=True).key == "bad/2"
    repo.drain()
    assert repo.stages() == {"bad/1": "rejected", "bad/2": "rejected"}
    repo.proven()


def test_stacked_changes_land_in_their_order(repo):
    # The upper one is handed in first; its lower half is known by its commit.
    lower = repo.change({"lower.txt": "lower\n"}, "lower")
    upper = repo.change({"upper.txt": "upper\n"}, "upper", lower)
    repo.hand_in("a-lower", lower)
    repo.hand_in("b-upper", upper)
    repo.drain()
    assert repo.landings() == ["a-lower/1", "b-upper/1"]
    # Each landed as its own part.
    assert repo.git("show", "--format=", "--name-only", "main").split() == ["upper.txt"]
    repo.proven()


def test_stacked_changes_fall_together(repo):
    lower = repo.change({"lower.txt": "BUG\n"}, "lower")
    upper = repo.change({"upper.txt": "upper\n"}, "upper", lower)
    repo.hand_in("a-lower", lower)
    repo.hand_in("b-upper", upper)
    repo.submit("waits", {"waits.txt": "waits\n"}, after=["b-upper"])
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert repo.stages() == {"a-lower/1": "rejected", "b-upper/1": "rejected", "waits/1": "rejected", "good/1": "landed"}
    assert repo.kind("b-upper") == "dependency"
    assert "a-lower/1" in repo.record("b-upper").why
    assert repo.verdict("waits")["kind"] == "dependency"
    repo.proven()


def test_a_change_that_holds_the_commits_of_another_is_told_so(repo):
    below = repo.change({"below.txt": "below\n"})
    above = repo.change({"above.txt": "above\n"}, base=below)
    for name, head in (("below", below), ("above", above)):
        repo.git("branch", name, head)
    assert "note" not in repo.cli("submit", "below", "--change", "below").stdout
    assert "note: it holds the commits of below" in repo.cli("submit", "above", "--change", "above").stdout
    assert "note: its commits are in above too" in repo.cli("withdraw", "below").stdout
    assert "note" not in repo.cli("withdraw", "above").stdout


def test_more_slots_by_a_new_policy_are_used_at_once(make_repo):
    repo = make_repo(slots=1)
    with repo.bot(batch=1) as bot:
        until(bot, lambda: bot.idle)
        repo.push({".agentctl/policy.yaml": policy(slots=4)})
        until(bot, lambda: bot.idle)
        for name in "abcdef":
            repo.submit(name, {f"{name}.txt": "SLOW\n"}, agent=name)
        until(bot, lambda: sum(run.future.running() for run in bot.runs.runs.values()) == 4)


def test_a_withdrawal_tells_of_the_task_and_a_closed_task_of_its_change(repo):
    # Whoever does not want the work any more has two things to say.
    repo.cli("task", "add", "--id", "job", "do it")
    repo.cli("queue", "pause")
    repo.submit("job", {"job.txt": "job\n"}, agent="agent-1")
    repo.cli("bot", "run", "--once")
    assert "its change job/1 is queued still, and may land: agentctl withdraw job" in repo.cli("task", "done", "job").stdout
    assert "offered again" not in repo.cli("withdraw", "job").stdout
    repo.cli("task", "open", "job")
    repo.cli("bot", "run", "--once")
    repo.submit("job", {"job.txt": "again\n"}, agent="agent-1")
    assert "the task job is offered again; if it is not wanted: agentctl task done job" in repo.cli("withdraw", "job").stdout


def test_whoever_waits_is_told_for_which_revision_and_what_holds_it_up(repo):
    repo.submit("job", {"job.txt": "job\n"})
    said = repo.cli("wait", "job", "--timeout", "1s", ok=124).stderr
    assert said.startswith("agentctl: waiting for job/1; no bot runs here: agentctl bot run\n")
    repo.cli("queue", "pause", "--reason", "release")
    said = repo.cli("wait", "job", "--timeout", "1s", ok=124).stderr
    assert "agentctl: waiting for job/1; the queue is paused by " in said and said.count("waiting for") == 1
    assert repo.cli("-q", "wait", "job", "--timeout", "1s", ok=124).stderr.startswith("agentctl: job/1 is waiting still")
