"""Step one: bring the memory up to date with trunk, the queue and the finished probes."""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from agentctl.core.planner.beliefs import FORGET, Beliefs
from agentctl.core.planner.memory import Counts, Evidence, FailedProbe, Landable, Memory, Segment, Tip, lane
from agentctl.core.planner.planning import Planning, change_id
from agentctl.core.queue.model import Probe, Result, Verdict

TIPS_KEPT = 256
"""Largest number of tips of trunk that are remembered. More: older probes can prove something. Fewer: less memory."""
FAILURES_KEPT = 256
"""Largest number of failed probes that are remembered. More: older failures can prove something. Fewer: less memory."""
GATE_MEMORY = 10
"""Number of passed probes over which the gate time of a lane is averaged, the last ones counting most.

Higher: one odd run matters less. Lower: a gate that gets slower is noticed sooner."""
SURE = 0.8
"""Probability that the green changes break together, above which they are suspects.

Higher: a break holds them up longer. Lower: more green changes are suspected for a failure of the changes behind them."""


class Ride(NamedTuple):
    """The green changes that a failed probe carried. Positions are those in the list of the lane's green changes."""

    end: int
    """The position behind the last of them."""
    probe: int
    """The number of the probe."""
    alone: float
    """The probability that the probe fails by itself: for what else it holds, or a flake."""


class Break(NamedTuple):
    """How likely the ride of a failed probe breaks: the green changes that it carried fail together."""

    end: int
    """The position behind the last of them."""
    probe: int
    """The number of the probe."""
    chance: float


class WeakPoint(NamedTuple):
    """Green changes, from the position at which some rides began, that may break together."""

    sound: int
    """The position up to which they are sound: a passed probe that may still land holds them."""
    breaks: list[Break]
    """For each of these rides, the shortest first."""


def digest(turn: Planning) -> None:
    """Bring memory and beliefs up to date with the view."""
    follow_trunk(turn)
    follow_queue(turn)
    take_results(turn)
    recall(turn)
    trim(turn)
    turn.beliefs = Beliefs(turn.mem, turn.limits)


def follow_trunk(turn: Planning) -> None:
    """Extend the history of tips, and count what landed.

    A move that was not literally our last Land is noted as foreign: no certificate reaches across it.
    """
    mem, view, landing = turn.mem, turn.view, turn.mem.landing
    before = mem.tips[-1].commit if mem.tips else None
    if view.trunk != before:
        chain = None
        if landing is not None and landing.base == before:
            as_asked = landing.staged == view.trunk if landing.staged else landing.chain == view.landed
            chain = landing.chain if as_asked else None
        mem.tips.append(Tip(view.trunk, chain))
        mem.passed = [p for p in mem.passed if turn.rest(p)]
    if landing is not None:
        agents = dict(zip(landing.chain, landing.agents, strict=True))
        for key in view.landed:
            if key in agents:
                count(mem, agents[key], landed=1)
    mem.landing = None


def trim(turn: Planning) -> None:
    """Forget the tips that no evidence and no running probe is based on."""
    mem = turn.mem
    del mem.failures[:-FAILURES_KEPT]
    bases = {f.base for f in mem.failures} | {p.base for p in mem.passed} | {p.base for p in turn.view.running}
    used = [i for i, tip in enumerate(mem.tips) if tip.commit in bases]
    oldest_used = min(used, default=len(mem.tips) - 1)
    del mem.tips[: max(oldest_used, len(mem.tips) - TIPS_KEPT)]


def count(mem: Memory, agent: str, landed: int = 0, rejected: int = 0) -> None:
    """Count changes of an agent that ended; at FORGET of them halve its counts, and its share of `mem.broken`."""
    good, bad = mem.agents.get(agent, Counts(0, 0))
    good, bad = good + landed, bad + rejected
    if good + bad >= FORGET:
        landed_of_all = max(good, sum(counts.landed for counts in mem.agents.values()))
        if landed_of_all:
            mem.broken *= 1 - good / 2 / landed_of_all
        good, bad = good / 2, bad / 2
    mem.agents[agent] = Counts(good, bad)


def follow_queue(turn: Planning) -> None:
    """Forget the changes that left the queue, and learn from those that landed.

    A failed probe whose members have all landed was a flake. One of which a member left the queue otherwise is forgotten.
    """
    mem, queue, landed = turn.mem, turn.queue, set(turn.view.landed)
    mem.rejected = {k: v for k, v in mem.rejected.items() if k in queue}
    flying = {k for p in turn.view.running for k in p.chain}
    flying.update(k for r in turn.view.finished for k in r.probe.chain)
    mem.culprits = [k for k in mem.culprits if k in flying]
    for key in mem.rejected:
        turn.remove(key)
    mem.audited = [k for k in mem.audited if k in queue]
    mem.distrusted.intersection_update(queue)
    needed = {i for c in queue.values() for i in c.after}
    known = set(mem.landed_ids) | {change_id(k) for k in landed}
    mem.landed_ids = sorted(needed & known)
    turn.settle_green()
    mem.passed = [p for p in mem.passed if all(k in queue for k in turn.rest(p) or ())]
    green = tuple(mem.green)
    for segment in mem.segments:
        settle_segment(turn, segment, green, landed)
    mem.segments = [s for s in mem.segments if s.items]
    for failure in mem.failures:
        failure.open = [k for k in failure.open if k not in landed]
    mem.flakes += sum(f.weight for f in mem.failures if not f.open)
    mem.failures = [f for f in mem.failures if f.open and all(k in queue for k in f.open)]


def settle_segment(turn: Planning, segment: Segment, green: tuple[str, ...], landed: set[str]) -> None:
    """Drop the suspects that landed, left the queue, or depend on what is not on trunk, not green and not in front of them."""
    segment.items = [k for k in segment.items if k not in landed]
    stay = set(turn.compose(green, segment.items, clashing=True))
    gone = [k for k in segment.items if k not in stay]
    segment.drop(gone, turn.together(gone))


def take_results(turn: Planning) -> None:
    """Learn from the finished probes: passed ones first, then failed ones from the one that asked about the fewest.

    So a change that is proven good in this turn is not suspected in it, and the tightest evidence is kept.
    """
    seen = {f.number for f in turn.mem.failures}
    good: set[str] = set()
    passed = [r for r in turn.view.finished if r.verdict is Verdict.PASSED]
    for result in passed:
        good.update(take_pass(turn, result))
    for result in turn.view.hold:
        good.update(take_green(turn, result))
    clear_passed(turn, good)
    failed = [r.probe for r in turn.view.finished if r.verdict is Verdict.FAILED]
    failed = [p for p in failed if p.number not in seen]
    for probe in failed:
        remember(turn, probe)
    weak = (point for gates in turn.lanes for point in blame_rides(turn, turn.green_of(gates)))
    broken = {ride.probe: ride.chance for point in weak for ride in point.breaks}
    for probe in sorted(failed, key=lambda p: (p.suspects or len(p.chain), p.number)):
        take_failure(turn, probe, good, broken.get(probe.number, 0.0))
    distrust(turn)
    doubt_green(turn)


def blame_rides(turn: Planning, green: tuple[str, ...]) -> list[WeakPoint]:
    """Return how likely the rides of failed probes are to blame; one point for each position at which rides begin.

    `green` are the green changes of a lane. Failed probes count on any base; passed ones only if they may still land.
    Nothing breaks within what such a passed one holds: a failed probe that carried no more has a sound ride, and this is
    written down (`FailedProbe.suspects` becomes its whole chain), so that the ride is not looked at again. A ride that is
    not one unbroken piece of `green` is passed over: dependencies left it gaps, or the list has changed.

    The changes that a probe asked about count with the risk that they had before any failure. Suspects of a segment are
    likelier bad than that, so rides are blamed a little too often.

    For example, of the green changes a to f a passing probe carried a, b, and two failed ones a to d and a to f. They begin
    at 0, are sound up to 2, and the two rides end at 4 and 6. If the first one breaks, then so does the second.
    """
    proven, position = set(green), {key: n for n, key in enumerate(green)}
    sound = sound_until(turn, green, position)
    rides: dict[int, list[Ride]] = {}
    for failure in turn.mem.failures:
        carried = failure.chain[: len(failure.chain) - failure.suspects]
        waiting = set(failure.open)
        ride = tuple(key for key in carried if key in waiting)
        start = position.get(ride[0]) if ride else None
        if start is None or green[start : start + len(ride)] != ride:
            continue
        end = start + len(ride)
        if end <= sound.get(start, 0):
            failure.suspects = len(failure.chain)
            continue
        asked = turn.together(key for key in failure.open if key not in proven)
        alone = 1 - (1 - turn.beliefs.flake) * (1 - asked)
        rides.setdefault(start, []).append(Ride(end, failure.number, alone))
    points = ((sound.get(start, start), sorted(rides[start])) for start in sorted(rides))
    return [WeakPoint(end, breaks(turn, end, found)) for end, found in points]


def sound_until(turn: Planning, green: tuple[str, ...], position: dict[str, int]) -> dict[int, int]:
    """Return up to where the green changes are sound, by the position at which passed probes that may land begin."""
    sound: dict[int, int] = {}
    passed = (rest for probe in turn.mem.passed if (rest := turn.rest(probe)))
    for carried in sorted(passed, key=len, reverse=True):
        start = position.get(carried[0])
        if start is None or start + len(carried) <= sound.get(start, 0):
            continue
        same = takewhile(lambda pair: pair[0] == pair[1], zip(carried, green[start:]))
        sound[start] = max(sound.get(start, 0), start + sum(1 for _ in same))
    return sound


def breaks(turn: Planning, sound: int, rides: list[Ride]) -> list[Break]:
    """Return how likely each of the rides breaks; they begin at the same position, the shortest first.

    The probability that nothing breaks within b changes is (1-q)^b (`Beliefs.sound`). If the first break is between the ends
    of two rides, the longer ones fail for it, and the shorter ones failed by themselves. Each such story is weighed by its
    probability, and the one in which nothing breaks by that of all having failed by themselves. A ride breaks in the
    stories that have the first break within it.
    """
    whole, shorter_alone, broken = 1.0, 1.0, 0.0
    weights: list[float] = []
    for ride in rides:
        still_whole = turn.beliefs.sound(ride.end - sound)
        broken += (whole - still_whole) * shorter_alone
        weights.append(broken)
        whole, shorter_alone = still_whole, shorter_alone * ride.alone
    total = broken + whole * shorter_alone
    return [Break(ride.end, ride.probe, weight / total) for ride, weight in zip(rides, weights, strict=True)]


def doubt_green(turn: Planning) -> None:
    """Suspect green changes again if they break together with a probability of more than SURE.

    The other explanation is that all the probes that carried them failed by themselves. Suspected are the changes behind
    the sound ones, up to the end of the shortest ride that is to blame with more than SURE.
    """
    mem = turn.mem
    for green in map(turn.green_of, turn.lanes):
        for point in blame_rides(turn, green):
            shortest = next((ride for ride in point.breaks if ride.chance > SURE), None)
            piece = green[point.sound : shortest.end] if shortest else ()
            if shortest and piece and set(piece).issubset(mem.green):
                mem.segments.append(Segment(list(piece), [Evidence(shortest.probe, 1 - shortest.chance)]))
                mem.distrusted.update(piece)
                mem.green = [k for k in mem.green if k not in piece]
                turn.settle_green()


def take_pass(turn: Planning, result: Result) -> list[str]:
    """Learn from a passed probe how long it takes, and what `take_green` learns; return what it returns."""
    mem, probe = turn.mem, result.probe
    mem.passes += 1
    if result.seconds:
        name = lane(next((turn.queue[k].gates for k in probe.chain if k in turn.queue), None))
        usual = mem.seconds.get(name, result.seconds)
        mem.seconds[name] = usual + (result.seconds - usual) / GATE_MEMORY
    return take_green(turn, result)


def take_green(turn: Planning, result: Result) -> list[str]:
    """Learn that a probe passes: its changes are green, and it may land. Return the members of its chain still queued."""
    mem, probe = turn.mem, result.probe
    members = [k for k in probe.chain if k in turn.queue]
    mem.green += members
    rest = turn.rest(probe)
    all_queued = members == list(rest or ())
    if rest and all_queued:
        mem.passed.append(Landable(probe.number, probe.base, probe.chain, probe.suspects, probe.reason, result.staged))
    return members


def clear_passed(turn: Planning, good: set[str]) -> None:
    """Clear the members `good` of the probes that passed in this turn: no segment holds them any more.

    And failed probes whose last change is green, whenever it passed, are no certificates against it.
    """
    mem = turn.mem
    turn.settle_green()
    proven = set(mem.green)
    for segment in mem.segments:
        segment.items = [k for k in segment.items if k not in good]
    mem.segments = [s for s in mem.segments if s.items]
    for failure in mem.failures:
        failure.doubted |= failure.chain[-1] in proven


def remember(turn: Planning, probe: Probe) -> None:
    """Keep a failed probe if it may still become a certificate, or turn out to be a flake."""
    mem, queue = turn.mem, turn.queue
    since = landed_since(mem, probe.base)
    if all(k in queue or k in since for k in probe.chain):
        waiting = [k for k in probe.chain if k in queue]
        mem.failures.append(FailedProbe(probe.number, probe.base, probe.chain, waiting, suspects=probe.suspects))


def take_failure(turn: Planning, probe: Probe, good: set[str], broken: float) -> None:
    """Accuse the suspects of a failed probe; `broken` is the probability that its ride made it fail."""
    mem, queue = turn.mem, turn.queue
    since = landed_since(mem, probe.base)
    gone = [k for k in probe.chain if k not in queue and k not in since]
    if any(k in mem.culprits for k in gone):
        return  # A rejected change explains the failure.
    gone_bad = turn.together(gone)
    if gone_bad < 1:
        cleared = good.union(mem.green)
        alt = 1 - (1 - turn.beliefs.flake) * (1 - gone_bad) * (1 - broken)
        accuse(turn, [k for k in probe.asked if k in queue and k not in cleared], probe.number, alt)


def distrust(turn: Planning) -> None:
    """Suspect green changes again that failed together, and without others, on the way that trunk is on.

    They passed on an older base only, or the gate flaked.
    """
    mem = turn.mem
    for failure in mem.failures:
        chain = set(turn.rest(failure) or ())
        if not chain or not chain <= set(mem.green):
            continue
        passed_on_trunk = any(chain <= set(p.chain) for p in mem.passed)
        if passed_on_trunk:
            continue
        failure.doubted = False
        mem.green = [k for k in mem.green if k not in chain]
        suspects = [k for k in failure.chain if k in chain]
        mem.distrusted.update(suspects)
        mem.segments.append(Segment(suspects, [Evidence(failure.number, turn.beliefs.flake)]))
    turn.settle_green()


def recall(turn: Planning) -> None:
    """Use old failures again: when members have landed, a failure accuses those that are left, the fewest first."""
    green = set(turn.mem.green)
    used = {failed.number for segment in turn.mem.segments for failed in segment.evidence}
    for failure in sorted(turn.mem.failures, key=lambda f: (len(f.open), f.number)):
        if failure.number not in used and green.isdisjoint(failure.open):
            accuse(turn, list(failure.open), failure.number, turn.beliefs.flake)


def landed_since(mem: Memory, base: str) -> set[str]:
    """Return the keys of the changes that landed after `base`, as far as remembered."""
    for at in range(len(mem.tips) - 1, -1, -1):
        if mem.tips[at].commit == base:
            return {k for tip in mem.tips[at + 1 :] for k in tip.chain or ()}
    return set()


def accuse(turn: Planning, suspects: list[str], number: int, alt: float) -> None:
    """Use the failure of probe `number` against `suspects`; `alt` is the probability that it fails although all are good.

    If none of them is suspected yet, they are a new segment. If they are all in one segment, it shrinks to them and has one
    more piece of evidence. If a segment holds only some of them, it may explain the failure, which teaches nothing more.
    """
    if not suspects:
        return
    for segment in turn.mem.segments:
        if set(segment.items).isdisjoint(suspects):
            continue
        if set(suspects) <= set(segment.items):
            tail = [k for k in segment.items if k not in suspects]
            segment.drop(tail, turn.together(tail))
            segment.evidence.append(Evidence(number, alt))
        return
    turn.mem.segments.append(Segment(suspects, [Evidence(number, alt)]))
