"""Who is heard in one turn: all agents in rotation, so that one that asks for much holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

MOST_QUEUED = 1000
"""The most changes of one agent that are queued at a time; further submissions wait in the inbox."""


def fitting(
    waiting: Mapping[str, Sequence[str]], room: Callable[[str], int], adds: Callable[[str], bool]
) -> dict[str, list[str]]:
    """Return the items of each agent's list that may be heard now.

    These are all items that add nothing, and the first of those for which `adds` is true, as many as `room` allows.
    """
    found: dict[str, list[str]] = {}
    for agent, listed in waiting.items():
        left = room(agent)
        for one in listed:
            if not adds(one):
                found.setdefault(agent, []).append(one)
            elif left > 0:
                found.setdefault(agent, []).append(one)
                left -= 1
    return found


def choose(waiting: Mapping[str, Sequence[str]], most: int, each: int, last: str = "") -> tuple[list[str], str]:
    """Return (what is taken now, who was served last).

    One item after the other is taken from each agent's list, round by round: at most `most` in all and `each` of one
    agent. The rounds begin behind `last`, the agent that was served last in the turn before. The time depends only on
    the number of agents and on what is taken.
    """
    order = sorted(waiting)
    start = next((n for n, agent in enumerate(order) if agent > last), 0)
    order = order[start:] + order[:start]
    share = {agent: min(each, len(waiting[agent])) for agent in order}
    taken: list[str] = []
    for number in range(max(share.values(), default=0)):
        order = [agent for agent in order if share[agent] > number]
        for agent in order:
            if len(taken) == most:
                return taken, last
            taken.append(waiting[agent][number])
            last = agent
    return taken, last
