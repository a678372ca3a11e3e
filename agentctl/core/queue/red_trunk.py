"""A red trunk, and what is tried to mend it, as values.

Trunk is red when its own tree has never passed, and has failed more often in a row than the policy's `retries`. Until
it is green again the planner is not asked, since every failure would be due to trunk. Instead the queued changes are
tried on trunk, each by itself together with the changes that it comes after, once for each tip of trunk. First come the
changes that say they mend trunk, then these together, then all others in their order. What passes makes trunk green,
and lands. A failure says nothing about a change.

All of this is computed from `State.failed`, so a bot that starts anew tries nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agentctl.core.queue.model import Change
from agentctl.core.queue.state import State, seen_red


def red_since(state: State, gate: str, retries: int) -> float | None:
    """Return when trunk was first seen to fail, or None if trunk is not red."""
    seen = seen_red(state, gate)
    return seen[0].started if len(seen) > retries else None


def tried(state: State, gate: str) -> set[tuple[str, ...]]:
    """Return the chains that failed on the present trunk."""
    return {s.probe.chain for s in state.failed if s.probe.chain and s.probe.base == state.trunk and s.gate == gate}


def chains(queued: Sequence[Change], most: int) -> Iterator[tuple[str, ...]]:
    """Yield the chains of keys to be tried, from the `queued` changes in their order.

    The chain of all changes that say they mend trunk is cut to `most` keys.
    """
    by_id = {change.id: change for change in queued}
    alone = {change.key: _with_below(change, by_id) for change in queued}
    menders = [change.key for change in queued if change.mends and alone[change.key]]
    yield from (alone[key] for key in menders)
    if len(menders) > 1:
        yield tuple(dict.fromkeys(key for mender in menders for key in alone[mender]))[:most]
    yield from (alone[change.key] for change in queued if not change.mends and alone[change.key])


def left(
    state: State, gate: str, queued: Sequence[Change], clashes: Iterable[tuple[str, str]], most: int
) -> Iterator[tuple[str, ...]]:
    """Yield those of the `chains` that were not tried yet, are not being tried, and hold no pair that is known to clash."""
    seen = tried(state, gate) | {s.probe.chain for s in state.probes if s.probe.base == state.trunk}
    pairs = [set(pair) for pair in clashes]
    for chain in chains(queued, most):
        if chain not in seen and not any(pair.issubset(chain) for pair in pairs):
            seen.add(chain)
            yield chain


def _with_below(change: Change, by_id: dict[str, Change]) -> tuple[str, ...]:
    """Return the key of a change behind the keys of all that it comes after; empty if these wait for each other."""
    chain: dict[str, None] = {}
    todo: list[tuple[Change, bool]] = [(change, False)]
    entered: set[str] = set()
    while todo:
        at, ready = todo.pop()
        if ready:
            chain[at.key] = None
        elif at.key in entered:
            if at.key not in chain:
                return ()
        else:
            entered.add(at.key)
            todo.append((at, True))
            todo += [(by_id[name], False) for name in reversed(at.after) if name in by_id]
    return tuple(chain)
