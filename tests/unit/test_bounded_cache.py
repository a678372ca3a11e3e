"""What a cache keeps, and what has to go."""

from agentctl.git.bounded_cache import BoundedCache


def test_the_oldest_go_when_all_weigh_too_much():
    cache = BoundedCache[str, int](10)
    assert cache.put("a", 1, 4) == 1
    cache.put("b", 2, 4)
    cache.put("c", 3, 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, 2, 3)
    assert "a" not in cache and "b" in cache


def test_what_is_put_again_counts_once_and_is_new_again():
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 4)
    cache.put("a", 5, 6)
    assert (cache.get("a"), cache.get("b")) == (5, 2)
    cache.put("c", 3, 1)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (5, None, 3)


def test_the_newest_stays_however_much_it_weighs():
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 100)
    assert (cache.get("a"), cache.get("b")) == (None, 2)
    cache.put("c", 3, 1)
    assert (cache.get("b"), cache.get("c")) == (None, 3)
