"""Which changes to test together, and when to believe the answer.

The problem. Some queued changes are bad, nobody knows which, and one gate run (a
probe) says only whether everything in its chain is good. Testing changes one by one
costs a probe each; testing many at once costs one probe if all are good, and leaves
a puzzle if not. This is group testing, and its limits are known: a probe answers yes
or no, so it yields at most one bit, and it yields that bit only if both answers are
equally likely. If a change is bad with probability p, no procedure needs fewer than
H(p) = -p log2 p - (1-p) log2(1-p) probes a change, H(p)/(1-p) a landed one.

The procedure. Every rule below follows from "ask what is nearest to an even bet":

- *Open* a segment: the oldest untested change and those after it that are about as likely
  bad, as many as pass together with probability nearest 1/2. At p = 10% those are seven;
  from p = 38% on it is one.
- *Search* a segment that failed: the prefix that passes with probability nearest
  1/2. If it passes, the culprit is behind it, and the rest is not tested as a whole
  again, since it is known to fail. If it fails, what lies behind the prefix is as
  unknown as if it had never been tested (its posterior is its prior), so it returns
  to the queue and the search goes on within the prefix. This nested procedure costs
  within 1% of the bound for p up to 30%.
- *In parallel*: each slot searches a segment of its own. K slots on one segment
  would learn log2(K+1) bits a round instead of K.
- *Integrate for nothing*: only one probe a tip of trunk can land, the others that
  passed beside it are green on a base that is gone. They ride in front of later
  chains; the next one that passes on trunk lands them all.
- *Changes that break only together* make that ride fail, and with it every probe that
  carries it. One of these that passes clears the green changes; if none does, Bayes tells
  whether they or the suspects are to blame (`update.weak_points`). The share q of changes
  that pass and break later is learned. Where a break is likely the probes of one moment
  carry different numbers of the first green ones: the longest that passes lands what is
  sound, the next one that fails says where the break is, and only what lies between them
  is suspected again, with its partner on trunk by then. Since only what is ahead of the first
  break can land, others carry windows that begin further back (`beliefs.window`): a piece
  that breaks there is taken out before it is in the way of those behind it.
- *With slots to spare* waiting is worse than waste, so the planner bets instead
  (`bets.py`). It imagines 1,024 worlds in which each change is good or bad, drawn
  from its risk and from all failures seen (`scenarios.py`); in each world it is known which
  running probes will pass and where trunk will be when they have. A free slot takes the
  chain that lands most on average on top of one of the likeliest places of trunk, or the
  suspects that are best proven apart. A chain that continues another one is a *train*:
  when the shorter one has landed, what is left of the longer lands without a new probe,
  and if it fails that is proof against what it added. A train that holds the suspects of
  a probe that failed meanwhile is bound to fail too: it is stopped, and what is behind
  them sets out again without them. With more than 4 culprits in flight only proven changes
  go into trains: tested apart for one gate, landed by the next.

Lanes. Where gates name the paths they judge, changes judged by the very same gates are a
lane. No chain has changes of two, so that none waits for another lane's gate or culprits;
each lane has its green changes, its bets and its gate time, and a lane that has no probe
is the first to get one. Trunk moving for another lane would spoil a probe: the bot does
not let us see that (`bot/lanes.py`).

Belief and proof. Priors are learned: a Beta posterior per agent around the common rate,
and one for the rate of flakes, counted when all members of a failed chain have landed
after all. Beliefs choose probes. Literal trees decide: only a chain that passed on
trunk as it stands, or that trunk is literally on its way to, lands, and a change is
rejected only on a failed chain whose other members are literally trunk
(`judge.accused`). One such proof is not enough where the gate may have flaked: as many
are asked for as bring the odds p/(1-p) * f^-c to (1-d)/d, d = 0.4%. The second is
mostly free: a suspect that failed by itself is parked until those that failed with it
are decided, and if they pass, their failure is explained by it alone (lazy
certification). Only what no mate can settle has a second look. These odds are an
estimate, since what left a segment unproven is taken to be independent of the rest. A
larger d costs fewer second looks and wrongs more: of the good changes at f = 1% and p =
10%, 0.08% with d = 1.5%, 0.02% with 0.4%. A new hub assumes f = 0.33% until its own
runs show otherwise. A lone suspect is probed without the green changes: its failure is
then proof at once.

The price of proof. By elimination a suspect is known, not proven: strictly it has to
fail a probe of its own, at 0.4 probes a culprit. So the last four suspects of a segment
are probed one by one from the front, since one that fails alone is proven. By
calculation, for equal risks up to 20% and learning left out, strict rejection then costs
5 to 8% over the bound, with nested halving up to 9%.

No change waits for ever. The order is by admission, a level of priority counting as
`Settings.aging` seconds, so that only what is admitted less than that much, times the
difference in priority, after a change comes before it (a change has the highest priority of
those that come after it); and each segment begins with the
first in that order, so that it waits for no more segments than there are changes before
it. When one has waited 16 gate times
without being asked about, bets end and segments are opened and searched in order. Every
untested change taken into a probe then ends proven or in a shorter segment, and the
oldest segment is searched first, so without flakes n changes end within 8n + n*n + 8
probes whatever the answers, and typically within 1.2 * n * H(p); the property tests hold
it to the first. What the bot has to add: it ends a change whose dependency was rejected
or withdrawn, and one that conflicts textually with trunk. And it asks for
plans only while trunk itself passes: a failure on a red trunk would be nobody's.

Sources: R. Dorfman 1943, The detection of defective members of large populations;
M. Sobel and P. Groll 1959, Group testing to eliminate efficiently all defectives (the
nested plan, group sizes); P. Ungar 1960, The cutoff point for group testing (38.2%);
F. Hwang 1972; Y.-C. Yao and F. Hwang 1990 (optimality of nested plans); M. Aldridge,
O. Johnson and J. Scarlett 2019, Group testing: an information theory perspective.
`bench/simulate.py` measures this very code against the bound.
"""

from __future__ import annotations

from agentctl.core.planner.beliefs import Settings
from agentctl.core.planner.choose import Chooser, cancel
from agentctl.core.planner.judge import judge
from agentctl.core.planner.memory import dump, lane, load
from agentctl.core.planner.planning import Planning, lifted, rank
from agentctl.core.planner.update import digest
from agentctl.core.queue.model import Change, Land, Plan, View

__all__ = ["Settings", "in_order", "plan", "usual_seconds"]


def in_order(queued: tuple[Change, ...], limits: Settings) -> list[Change]:
    """The changes in the order in which they are to be tested, with the priorities they are lent."""
    return sorted(lifted(queued), key=lambda change: rank(change, limits))


def usual_seconds(memory: bytes, gates: tuple[str, ...] | None) -> float | None:
    """How long, about, a probe takes of changes that these gates judge; None if not known."""
    return load(memory).seconds.get(lane(gates))


def plan(view: View, policy: Settings, now: float) -> Plan:
    """What to do next: same view, policy and time, same plan.

    Nothing starts in a plan that lands something, since trunk is about to move:
    plan again at once after a Land, a Reject or a Cancel. The actions are to be
    performed in order; each may fail or be lost, and the next view tells. The
    memory must be kept with them, in one commit.
    """
    turn = Planning(view, policy, load(view.memory), now)
    digest(turn)
    judge(turn)
    cancel(turn)
    if not any(isinstance(a, Land) for a in turn.actions):
        Chooser(turn).fill()
    return Plan(dump(turn.mem), tuple(turn.actions))
