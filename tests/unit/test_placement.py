"""Which worker an order goes to."""

from agentctl.cluster.placement import LOST_AFTER, WorkerSeen, alive, choose, room


def worker(gates, silent=0.0):
    return WorkerSeen("w", silent, {"gates": gates, "agents": 8.0})


def test_the_worker_with_most_room_has_the_order():
    workers = {"a": worker(2), "b": worker(4)}
    assert choose(workers, "gates", {}) == "b"
    assert choose(workers, "gates", {"b": 3}) == "a"
    assert choose(workers, "gates", {"a": 1, "b": 3}) == "a"


def test_nobody_has_it_while_none_has_room():
    assert choose({"a": worker(1)}, "gates", {"a": 1}) is None
    assert choose({"a": worker(0)}, "gates", {}) is None
    assert choose({"a": WorkerSeen("w", 0.0, {})}, "gates", {}) is None
    assert choose({}, "gates", {}) is None


def test_a_worker_that_is_silent_is_lost_and_counts_for_nothing():
    workers = alive({"a": worker(2, LOST_AFTER - 1), "b": worker(4, LOST_AFTER)})
    assert set(workers) == {"a"}
    assert room(workers, "gates") == 2
    assert room({}, "gates") == 0
