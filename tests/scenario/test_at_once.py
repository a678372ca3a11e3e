"""Several who do the same thing at the same moment."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.support.hub import Repo, command, environment


def by_threads(repo, jobs):
    """Each job with a view of the hub of its own, as separate processes have."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(lambda job: job(Repo(repo.path)), jobs))


def test_many_agents_submit_at_once(repo):
    heads = {f"agent-{n}": repo.change({f"{n}.txt": f"{n}\n"}) for n in range(12)}
    receipts = by_threads(repo, [lambda view, a=agent, h=head: view.hand_in(a, h, a) for agent, head in heads.items()])
    assert all(receipt.new for receipt in receipts)
    assert len(repo.refs("refs/agentctl/inbox")) == 12
    repo.drain()
    assert sorted(repo.landings()) == sorted(f"{agent}/1" for agent in heads)
    repo.proven()


def test_two_agents_submit_the_same_change_at_once(repo):
    # Each gets a revision of its own; the later one is refused, for the change is the other's.
    heads = [repo.change({"same.txt": f"{n}\n"}, f"version {n}") for n in range(2)]
    receipts = by_threads(repo, [lambda view, n=n: view.hand_in("same", heads[n], f"agent-{n}") for n in range(2)])
    assert all(receipt.new for receipt in receipts)
    repo.drain()
    stages = repo.stages()
    assert {receipt.key for receipt in receipts} == stages.keys()
    assert [stages["same/1"], stages["same/2"]] == ["landed", "rejected"]
    assert "agent-" in repo.record("same/2").why and repo.record("same").key == "same/1"
    repo.proven()


def test_two_agents_push_the_same_revision(repo):
    # Who pushes to the inbox by plain Git chooses the number; neither submission is lost.
    heads = {agent: repo.change({"same.txt": f"{agent}\n"}, agent) for agent in ("ann", "bob")}

    def push():
        for agent, head in heads.items():
            repo.git("update-ref", f"refs/agentctl/inbox/{agent}/same/1", head)

    push()
    repo.drain()
    assert repo.stages() == {"same/1": "landed", "same/2": "rejected"}
    assert [repo.record(key).change.head for key in ("same/1", "same/2")] == [heads["ann"], heads["bob"]]

    # A bot that was killed before it cleared the inbox finds both once more: nothing new.
    push()
    repo.drain()
    assert repo.stages() == {"same/1": "landed", "same/2": "rejected"}
    assert repo.refs("refs/agentctl/inbox") == []
    repo.proven()


def test_the_same_head_submitted_twice_at_once_lands_once(repo):
    head = repo.change({"once.txt": "once\n"})
    by_threads(repo, [lambda view: view.hand_in("once", head)] * 6)
    repo.drain()
    assert sorted(repo.stages().values()).count("landed") == 1
    assert len(repo.landings()) == 1
    repo.proven()


def test_commands_that_submit_at_once(repo):
    for name in ("one", "two"):
        repo.git("branch", name, repo.change({f"{name}.txt": f"{name}\n"}, name))
    running = [
        subprocess.Popen(
            command("submit", name, "--change", name), cwd=repo.path, env=environment(), stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    assert all("submitted" in each.communicate()[0] and each.returncode == 0 for each in running)
    repo.drain()
    assert sorted(repo.landings()) == ["one/1", "two/1"]


def test_submissions_while_the_bot_works(repo):
    # The inbox changes under the bot's hands all the time; nothing slips through.
    heads = {f"c{n}": repo.change({f"{n}.txt": f"{n}\n"}) for n in range(15)}
    with repo.bot() as bot, ThreadPoolExecutor(3) as pool:
        done = [pool.submit(Repo(repo.path).hand_in, name, head) for name, head in heads.items()]
        while not all(each.done() for each in done) or not bot.idle:
            bot.take_turn()
            bot.wake.wait(0.02)
    assert all(each.result().new for each in done)
    assert sorted(repo.landings()) == sorted(f"{name}/1" for name in heads)
    repo.proven()
