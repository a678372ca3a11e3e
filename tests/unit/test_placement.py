"""Which worker an order goes to."""

from agentctl.cluster.placement import LONGEST_REST, LOST_AFTER, REST, WorkerSeen, alive, choose, failed, room


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


def test_a_worker_that_could_not_do_it_rests_twice_as_long_each_time():
    trouble, rests, now = None, [], 0.0
    for _ in range(8):
        trouble = failed(trouble, "it is blind", now)
        rests.append(trouble.until - now)
        now = trouble.until
    assert rests == [REST, 2 * REST, 4 * REST, 8 * REST, 16 * REST, LONGEST_REST, LONGEST_REST, LONGEST_REST]
    for _ in range(2000):
        trouble = failed(trouble, "it is blind", trouble.until)
    assert trouble.row == 2008


def test_orders_that_fail_together_are_one_trouble():
    first = failed(None, "it is blind", 100.0)
    assert failed(first, "it is blind", 100.0) == failed(first, "it is full", 100.0 + REST - 1) == first
    assert failed(first, "it is full", 100.0 + REST).row == 2


def test_a_worker_with_trouble_gets_one_order_at_a_time():
    workers = {"a": worker(2), "b": worker(32)}
    assert room(workers, "gates", {"b"}) == 3
    assert choose(workers, "gates", {}, {"b"}) == "a"
    assert choose(workers, "gates", {"a": 2}, {"b"}) == "b"
    assert choose(workers, "gates", {"a": 2, "b": 1}, {"b"}) is None
    assert room({"c": worker(0)}, "gates", {"c"}) == 0
