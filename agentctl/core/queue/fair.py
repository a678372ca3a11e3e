"""Who is heard in one turn: everybody in turn, so that one who asks for much holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def fitting(
    waiting: Mapping[str, Sequence[str]], room: Callable[[str], int], adds: Callable[[str], bool]
) -> dict[str, list[str]]:
    """Of each agent's list what may be heard now: all that adds nothing, and of what `adds` the first that there is `room` for."""
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
    """(what is taken now, who was served last): from each agent's list one item after the other,
    round by round, at most `most` in all and `each` of one agent.

    The rounds begin behind `last`, who was served last in the turn before. Takes time for what
    it looks at: the agents, and what is taken.
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
