"""Nobody waits for ever: what the planner's docstring promises one change, whatever
arrives behind it, for ever."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agentctl.core.planner import Settings
from agentctl.core.planner.choose import CROWD
from agentctl.core.planner.memory import load
from agentctl.core.planner.planning import LONG_WAIT
from agentctl.core.queue.model import Change, Plan, Reject, Start, View
from agentctl.core.text.json_form import replace
from tests.property.queue_model import QueueModel
from tests.property.test_planner import bound, change, quiet

SPAN = 4
"""Levels of priority that a change may have above another."""
UNKNOWN = 60.0
"""Seconds that a gate is taken to need while none has passed."""
arrival = st.tuples(st.integers(0, SPAN), st.booleans())


@dataclass
class Ordered(QueueModel):
    """Sees to it that each segment begins with the change that ranks above all others."""

    def check_plan(self, decided: Plan, view: View) -> None:
        super().check_plan(decided, view)
        memory = load(decided.memory)
        known = {k for segment in memory.segments for k in segment.items}
        known.update(memory.green, *(p.asked for p in view.running))
        known.update(a.certificate.change for a in decided.actions if isinstance(a, Reject))
        untested = {k: c for k, c in self.queue.items() if k not in known}
        oldest = min((c.admitted for c in untested.values()), default=self.now)
        patience = LONG_WAIT * (memory.seconds.get("*", UNKNOWN))
        crowded = len(untested) > CROWD * self.slots or self.now - oldest > patience
        for action in decided.actions if crowded else ():
            if isinstance(action, Start):
                taken = [untested.pop(k) for k in action.probe.asked if k in untested]
                self.check_overtaking(taken[:1], [*taken[1:], *untested.values()])

    def check_overtaking(self, taken: list[Change], left: list[Change]) -> None:
        """The order is by admission, a level of priority counting as `aging` seconds."""
        for over in taken:
            for passed in left:
                ahead = (over.priority - passed.priority) * self.limits.aging
                assert over.admitted - passed.admitted <= ahead


@st.composite
def queues(draw) -> Ordered:
    limits = Settings(
        batch=draw(st.sampled_from((2, 64))),
        rejection=draw(st.sampled_from(("strict", "inference"))),
        risk=draw(st.sampled_from((0.01, 0.1, 0.4))),
        doubt=draw(st.sampled_from((0.007, 0.45))),
        aging=draw(st.sampled_from((1.0, 5.0))),
    )
    return Ordered(slots=draw(st.integers(1, 4)), limits=limits)


def admit(model: QueueModel, arrived: tuple[int, bool], admitted: list[float]) -> str:
    priority, is_bad = arrived
    made = replace(change(len(admitted), priority=priority), admitted=model.now)
    admitted.append(model.now)
    if is_bad:
        model.bad |= {made.key}
    model.submit(made)
    return made.key


@quiet
@given(queues(), st.lists(arrival, max_size=8), arrival, st.lists(st.lists(arrival, max_size=3), min_size=1, max_size=20))
def test_no_stream_of_later_changes_keeps_one_waiting(model, before, one, stream) -> None:
    """A gate takes a second. Those that may be ahead of a change are those admitted
    before it, or while bets are allowed, or while their priority may outweigh its age:
    it ends within as many probes a slot as so many changes need at most."""
    admitted: list[float] = []
    for arrived in before:
        admit(model, arrived, admitted)
    key = admit(model, one, admitted)
    until = max(LONG_WAIT, (SPAN - one[0]) * model.limits.aging)
    model.take_turn()
    while key in model.queue:
        ahead = sum(at <= until for at in admitted)
        assert model.probes <= model.slots * bound(ahead)
        for arrived in stream[int(model.now) % len(stream)]:
            admit(model, arrived, admitted)
        model.end(min(model.running))
        model.now += 1
        model.take_turn()
