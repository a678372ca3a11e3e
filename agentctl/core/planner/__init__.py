"""Decide which changes to test together, and when to believe the answer.

Where to begin. `tests/unit/test_planner_story.py` drives this planner through a queue of twelve changes, from the first
plan to the last, and says of each decision why it is made. The files, in the order in which a plan uses them:

- `memory.py`: what is remembered from one plan to the next (segments, failed probes, green changes, counts);
- `beliefs.py`: probabilities: how risky an agent's change is, how large a group, where to split it;
- `planning.py`: one turn: view, memory, what was decided so far, and questions about them;
- `update.py`: step one, what the finished probes and the landings say;
- `judge.py`: step two, what may be rejected and what lands;
- `choose.py`: step three, which probes to stop, and which to start when probes are scarce;
- `bets.py` and `scenarios.py`: which probes to start when slots are to spare.

Four words:

- *green*: a change that a passed probe held, on whatever base, and that is not suspected again since;
- *ride*: the green changes at the front of a chain, which a probe carries besides the changes that it asks about;
- *segment*: suspects in order, of whom failed probes say that at least one is bad, searched as one;
- *certificate*: a failed probe that proves one change bad, as the others of its chain landed (`judge.accused`).

The problem. Some queued changes are bad, nobody knows which, and one gate run (a probe) says only whether everything in
its chain is good. Testing changes one by one costs a probe each. Testing many at once costs one probe if all are good,
and leaves a puzzle if not. This is group testing, and its limits are known: a probe answers yes or no, so it yields at
most one bit, and it yields that bit only if both answers are equally likely. If a change is bad with probability p, no
procedure needs fewer than H(p) = -p log2 p - (1-p) log2(1-p) probes for a change, that is H(p)/(1-p) for a landed one.

The procedure. Every rule below follows from "ask the question that is nearest to an even bet":

- *First probe*: take the oldest untested change and those after it that are about as likely bad, as many as pass
  together with probability nearest 1/2. At p = 10% these are seven changes; from p = 38% on it is one. If the probe
  fails, they are a segment.
- *Search* a segment that failed: probe the prefix that passes with probability nearest 1/2. If it passes, the culprit is
  behind it; the rest is known to fail, so it is not tested as a whole again. If the prefix fails, nothing more is known
  of the changes behind it than if they had never been tested (their posterior is their prior): they return to the queue,
  and the search goes on within the prefix. This nested procedure costs within 1% of the bound for p up to 30%.
- *In parallel*: each slot searches a segment of its own. K slots on one segment would learn log2(K+1) bits a round
  instead of K.
- *Integrate for nothing*: of the probes that passed on one tip of trunk only one can land. The changes of the others
  stay green, though trunk has left the base on which they passed. They ride in front of later chains; the next chain
  that passes on trunk lands those that it carries.
- *Changes that break only together* make that ride fail, and with it every probe that carries it. If one of these probes
  passes, the green changes are cleared. If none does, Bayes tells whether they or the suspects are to blame
  (`update.blame_rides`). The share q of changes that pass and break later is learned. Where a break is likely, the probes
  of one moment carry different numbers of the first green changes. The longest ride that passes lands what is sound. Of
  the longer ones that fail, the shortest that is to blame with more than 80% (`update.SURE`) says where the break is, and
  only the changes between the ends of these two are suspected again. A partner of theirs in the sound ride is on trunk
  when they are searched, once that ride has landed. Of the rides that begin with the first green change, only those that
  end ahead of the first break can land. So other probes carry windows that begin further back (`Beliefs.window`): a group
  that breaks there is taken out before it holds up those behind it.
- *With slots to spare* waiting is worse than waste, so the planner bets instead (`bets.py`). It imagines 1,024 worlds
  in which each change is good or bad, drawn from its risk and from all failures seen (`scenarios.py`). In each world it
  is known which running probes will pass, and where trunk will be when they have ended. A free slot takes the chain
  that lands most on average on top of one of the likeliest places of trunk, or the changes that are best tested apart.
  A chain that continues another running one is a *train*: when the shorter one has landed, the rest of the longer one
  lands without a new probe; if the longer one fails then, what it added is to blame. If all suspects that are left of a
  failed probe are in a running one that asks about others too, that one is bound to fail: it is stopped, and the others
  set out again without them. Where more than 4 bad changes are expected among all queued changes of a lane
  (`bets.CULPRITS`), bets put only green changes on top of a place: the rest are tested apart in one gate time and land
  in the next.

Lanes. Where gates name the paths that they judge, the changes that the very same gates judge are a lane. No chain has
changes of two lanes, so no change waits for another lane's gate or culprits. Each lane has its own green changes, bets and
gate time, and a lane without a probe is the first to get one. When trunk moves for one lane, that would spoil the probes
of the others: the view tells which of them follow trunk, and which passed ones hold there too (`bot/lanes.py`).

Belief and proof. Priors are learned: a Beta posterior for each agent around the common rate, and one for the rate of
flakes. A failure counts as a flake when all members of its chain have landed after all. Beliefs choose probes. Literal
trees decide: a chain lands only if it passed on trunk as it stands, or on a tip from which trunk is literally on the
way to the end of the chain; a change is rejected only on a certificate, that is a failed chain whose base, with its
other members on top, was literally trunk at some time (`judge.accused`). One failure is not enough where the gate may
have flaked: as many are asked for as bring the odds p/(1-p) * f^-c to (1-d)/d, where c is the number of failures that
only the change explains, each of them a flake with probability f, and d = 0.4%. Where mates that left the segment
unproven may explain a failure too, the probability of this or a flake stands for f. The odds are an estimate then,
since these mates are taken to be independent of the rest. The second failure is mostly free: a suspect with a
certificate is parked until those that failed with it are decided, and if they pass, it alone explains their common
failure (lazy certification). A second look is for what no mate can settle, for audits (`judge.audit`), and for slots
that nothing else needs. A larger d costs fewer second looks and wrongs more changes: of the good changes at f = 1% and
p = 10%, 0.08% are rejected with d = 1.5%, 0.02% with 0.4%. A new hub assumes f = 0.33% until its own runs show
otherwise. A lone suspect is probed without the green changes: its failure is then proof at once.

The price of proof. By elimination a suspect is known to be bad, but not proven: strictly it has to fail a probe of its
own, at 0.4 probes a culprit. So the last four suspects of a segment are probed one by one from the front, since one that
fails alone is proven. By calculation, for equal risks up to 20% and with learning left out, strict rejection then costs 5
to 8% over the bound; with nested halving it costs up to 9%.

No change waits for ever. The order is by admission, and a level of priority counts as `Settings.aging` seconds. So a
change that is admitted later comes before another one only if it is admitted less than that much later, times the
difference in priority. (A change has the highest priority of those that come after it.) Each first probe begins with
the first untested change in that order, so this waits for no more of them than there are changes before it. When a
change was admitted more than 16 gate times ago, is not green, and no running probe asks about it, no bets are placed:
segments are searched and first probes started, both in order. Every untested change that is taken into a probe then
ends proven or in a shorter segment, and the oldest segment is searched first. So without flakes n changes end within
n*n + 8n + 8 probes whatever the answers, and typically within 1.2 * n * H(p); the property tests check the first. The
bot has to add this: it ends a change whose dependency was rejected or withdrawn, and one that conflicts textually with
trunk. And it asks for plans only while trunk itself passes: a failure on a red trunk would be nobody's.

Figures. `bench/simulate.py` measures this very code against the bound, and docs/MEASUREMENTS.md has its tables. The
constants are tuned in that simulation, and `bench/constants.py` tries other values of each; where a docstring gives no
figure for one, none is recorded.

Sources: R. Dorfman 1943, The detection of defective members of large populations; M. Sobel and P. Groll 1959, Group
testing to eliminate efficiently all defectives (the nested plan, group sizes); P. Ungar 1960, The cutoff point for group
testing (38.2%); F. Hwang 1972; Y.-C. Yao and F. Hwang 1990 (optimality of nested plans); M. Aldridge, O. Johnson and
J. Scarlett 2019, Group testing: an information theory perspective.
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
    """Return the changes in the order in which they are to be tested, with the priorities that they are lent."""
    return sorted(lifted(queued), key=lambda change: rank(change, limits))


def usual_seconds(memory: bytes, gates: tuple[str, ...] | None) -> float | None:
    """Return about how many seconds a probe of changes that `gates` judge takes; None if that is not known."""
    return load(memory).seconds.get(lane(gates))


def plan(view: View, policy: Settings, now: float) -> Plan:
    """Return what to do next; the same view, policy and time give the same plan.

    Nothing starts in a plan that lands something, since trunk is about to move: plan again at once after a Land, a Reject
    or a Cancel. Perform the actions in order. Each may fail or be lost; the next view tells. Keep the memory with them, in
    one commit.
    """
    turn = Planning(view, policy, load(view.memory), now)
    digest(turn)
    judge(turn)
    cancel(turn)
    if not any(isinstance(a, Land) for a in turn.actions):
        Chooser(turn).fill()
    return Plan(dump(turn.mem), tuple(turn.actions))
