"""Which answers of the outbox go."""

from agentctl.core.queue.answer import AT_A_TIME, KEPT, YOUNG, outdated

NOW = 10 * YOUNG


def test_the_newest_answers_are_kept():
    written = {f"a{n:04}": float(n) for n in range(KEPT + 3)}
    assert outdated(written, (), NOW) == ["a0000", "a0001", "a0002"]
    assert outdated({f"a{n}": 0.0 for n in range(KEPT)}, (), NOW) == []


def test_what_is_needed_or_young_is_kept():
    written = {f"a{n:04}": NOW - YOUNG + n - 1 for n in range(KEPT + 3)}
    assert outdated(written, {"a0001"}, NOW) == ["a0000"]
    assert outdated(written, {"a0000", "a0001"}, NOW) == []


def test_only_so_many_go_at_a_time():
    written = {f"a{n:05}": float(n) for n in range(KEPT + 2 * AT_A_TIME)}
    assert outdated(written, (), NOW) == [f"a{n:05}" for n in range(AT_A_TIME)]
