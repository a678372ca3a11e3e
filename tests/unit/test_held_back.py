"""What keeps sessions from handing in is told once, however many they are and whatever they wait for beside it."""

from agentctl.core import notices
from agentctl.git.remote import Away, Declined, NoUpload
from agentctl.harness.held_back import HeldBack


def declined(task, said="no such files here"):
    return Declined(remote="origin", ref=f"refs/agentctl/inbox/ann/{task}/1", said=said)


def looked(*looks):
    heard = []
    held_back = HeldBack(heard.append)
    lines = [held_back.look(waiting) for waiting in looks]
    return [notices.told(notice) for notice in heard], lines


def test_what_is_declined_is_told_once_in_a_run():
    heard, lines = looked([declined("one"), declined("two")], [declined("two")], [], [declined("three")])
    assert len(heard) == 1 and heard[0].endswith("declines refs/agentctl/inbox/ann/two/1: no such files here")
    assert [len(found) for found in lines] == [1, 1, 0, 1]


def test_another_reason_is_told_too():
    assert len(looked([declined("one"), declined("two", "too large")], [declined("one")])[0]) == 2


def test_an_outage_is_told_each_time_that_it_begins():
    out = NoUpload(remote="origin", said="connection refused")
    assert (
        looked([out], [out], [], [out])[0]
        == ["a session waits to hand in: large files cannot be uploaded to origin: connection refused"] * 2
    )


def test_that_the_hub_is_away_is_told_by_whoever_looks_at_it():
    assert looked([Away(remote="origin", said="gone")]) == ([], [[]])
