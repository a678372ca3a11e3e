"""Who is heard in one turn: everybody in turn, so that one who asks for much holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def choose(waiting: Mapping[str, Sequence[str]], most: int, each: int, room: Callable[[str], int],
           last: str = "") -> tuple[list[str], str]:
    """(what is taken now, who was served last): from each agent's list one item after the other,
    round by round, at most `most` in all, and of one agent no more than `each` and its `room`.

    The rounds begin behind `last`, who was served last in the turn before. Takes time for what
    it looks at: the agents, and what is taken.
    """
    order = sorted(waiting)
    start = next((n for n, agent in enumerate(order) if agent > last), 0)
    order = [agent for agent in order[start:] + order[:start] if room(agent) > 0]
    share = {agent: min(each, room(agent), len(waiting[agent])) for agent in order}
    taken: list[str] = []
    for number in range(max(share.values(), default=0)):
        order = [agent for agent in order if share[agent] > number]
        for agent in order:
            if len(taken) == most:
                return taken, last
            taken.append(waiting[agent][number])
            last = agent
    return taken, last
