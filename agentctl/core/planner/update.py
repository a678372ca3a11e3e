"""Step one: bring the memory up to date with trunk, the queue and the finished probes."""

from __future__ import annotations

from itertools import takewhile

from agentctl.core.planner.beliefs import FORGET, Beliefs
from agentctl.core.planner.memory import FailedProbe, Landable, Memory, Segment, Tip, lane
from agentctl.core.planner.planning import Planning, change_id
from agentctl.core.queue.model import Probe, Result, Verdict

TIPS_KEPT = 256
FAILURES_KEPT = 256
SURE = 0.8
"""Probability that the green changes break together, from which on they are suspects."""


def digest(turn: Planning) -> None:
    follow_trunk(turn)
    follow_queue(turn)
    take_results(turn)
    recall(turn)
    trim(turn)
    turn.beliefs = Beliefs(turn.mem, turn.limits)


def follow_trunk(turn: Planning) -> None:
    """Extend the history of tips. A move that was not literally our last Land is
    recorded as foreign: no certificate reaches across it."""
    mem, view, landing = turn.mem, turn.view, turn.mem.landing
    before = mem.tips[-1].commit if mem.tips else None
    if view.trunk != before:
        ours = (
            landing
            if landing is not None
            and landing.base == before
            and (landing.staged == view.trunk if landing.staged else landing.chain == view.landed)
            else None
        )
        mem.tips.append(Tip(view.trunk, ours.chain if ours else None))
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
    # A probe that trunk left for another lane is shown to us on its present tip; it may fail on its own.
    first = 0 if any(turn.lanes) else min(used, default=len(mem.tips) - 1)
    del mem.tips[: max(first, len(mem.tips) - TIPS_KEPT)]


def count(mem: Memory, agent: str, landed: int = 0, rejected: int = 0) -> None:
    good, bad = mem.agents.get(agent, (0, 0))
    good, bad = good + landed, bad + rejected
    if good + bad >= FORGET:
        mem.broken *= 1 - good / 2 / max(good, sum(g for g, _ in mem.agents.values()))
        good, bad = good / 2, bad / 2
    mem.agents[agent] = good, bad


def follow_queue(turn: Planning) -> None:
    """Forget what left the queue, and learn from what landed."""
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
    segment.items = [k for k in segment.items if k not in landed]
    stay = set(turn.compose(green, segment.items, clashing=True))
    gone = [k for k in segment.items if k not in stay]
    segment.drop(gone, turn.together(gone))


def take_results(turn: Planning) -> None:
    """Passing probes first, then failing ones from the shortest: what is proven good
    in this turn is not suspected in it, and the tightest evidence is kept."""
    seen = {f.number for f in turn.mem.failures}
    good: set[str] = set()
    passed = [r for r in turn.view.finished if r.verdict is Verdict.PASSED]
    for result in passed:
        good.update(take_pass(turn, result))
    prove(turn, good)
    failed = [r.probe for r in turn.view.finished if r.verdict is Verdict.FAILED]
    failed = [p for p in failed if p.number not in seen]
    for probe in failed:
        remember(turn, probe)
    weak = (points for gates in turn.lanes for _, points in weak_points(turn, turn.green_of(gates)))
    broken = {number: chance for points in weak for _, number, chance in points}
    for probe in sorted(failed, key=lambda p: (p.suspects or len(p.chain), p.number)):
        take_failure(turn, probe, good, broken.get(probe.number, 0.0))
    distrust(turn)
    doubt_green(turn)


def weak_points(turn: Planning, green: tuple[str, ...]) -> list[tuple[int, list[tuple[int, int, float]]]]:
    """Where the green changes of a lane may break. For each place from which failed probes carried
    them on: up to where they are sound; and (up to where a failed probe carried them, its number,
    the probability that these break together), the shortest first.

    The first break is behind position b with probability ~ (1-q)^b, and explains all
    failures that carried more; those that carried fewer failed by themselves. Nothing
    breaks within what a passing probe carried: what failed with less is told so for good.
    """
    mem, proven, places = turn.mem, set(green), {key: n for n, key in enumerate(green)}
    sound: dict[int, int] = {}
    for left in sorted((turn.rest(passed) or ("",) for passed in mem.passed), key=len, reverse=True):
        start = places.get(left[0], len(green))
        if start + len(left) > sound.get(start, 0):
            pairs = takewhile(lambda pair: pair[0] == pair[1], zip(left, green[start:]))
            sound[start] = max(sound.get(start, 0), start + sum(1 for _ in pairs))
    seen: dict[int, list[tuple[int, int, float]]] = {}
    for failure in mem.failures:
        carried = failure.chain[: len(failure.chain) - failure.suspects]
        waiting = set(failure.open)
        left = tuple(k for k in carried if k in waiting)
        start = places.get(left[0], len(green)) if left else len(green)
        if not left or green[start : start + len(left)] != left:
            continue
        if start + len(left) <= sound.get(start, 0):
            failure.suspects = len(failure.chain)
            continue
        asked = turn.together(k for k in failure.open if k not in proven)
        alone = 1 - (1 - turn.beliefs.flake) * (1 - asked)
        seen.setdefault(start, []).append((start + len(left), failure.number, alone))
    return [(first := sound.get(start, start), breaks(turn, first, sorted(seen[start]))) for start in sorted(seen)]


def breaks(turn: Planning, sound: int, seen: list[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """For each (up to where a failed probe carried the green changes, its number, the probability
    that it failed by itself): the probability that these break together instead."""
    before, otherwise, broken, total = 1.0, 1.0, 0.0, []
    for n, number, alone in seen:
        after = turn.beliefs.sound(n - sound)
        broken += (before - after) * otherwise
        before, otherwise = after, otherwise * alone
        total.append((n, number, broken))
    return [(n, number, b / (broken + before * otherwise)) for n, number, b in total]


def doubt_green(turn: Planning) -> None:
    """Green changes are suspects again if it is likelier that they break together
    than that all the probes that carried them asked about bad ones."""
    mem = turn.mem
    for green in map(turn.green_of, turn.lanes):
        for sound, points in weak_points(turn, green):
            n, number, broken = next((p for p in points if p[2] > SURE), (0, 0, 0.0))
            piece = green[sound:n]
            if piece and set(piece).issubset(mem.green):
                mem.segments.append(Segment(list(piece), [(number, 1 - broken)]))
                mem.distrusted.update(piece)
                mem.green = [k for k in mem.green if k not in piece]
                turn.settle_green()


def take_pass(turn: Planning, result: Result) -> list[str]:
    """Returns the queued members of the chain."""
    mem, probe = turn.mem, result.probe
    mem.passes += 1
    if result.seconds:
        name = lane(next((turn.queue[k].gates for k in probe.chain if k in turn.queue), None))
        usual = mem.seconds.get(name, result.seconds)
        mem.seconds[name] = usual + (result.seconds - usual) / 10
    members = [k for k in probe.chain if k in turn.queue]
    mem.green += members
    rest = turn.rest(probe)
    if rest and members == list(rest):
        known = (probe.number, probe.base, probe.chain, probe.suspects, probe.reason)
        mem.passed.append(Landable(*known, result.staged))
    return members


def prove(turn: Planning, good: set[str]) -> None:
    """The members of passing probes are green; nothing accuses them any more."""
    mem = turn.mem
    turn.settle_green()
    proven = set(mem.green)
    for segment in mem.segments:
        segment.items = [k for k in segment.items if k not in good]
    mem.segments = [s for s in mem.segments if s.items]
    for failure in mem.failures:
        failure.doubted |= failure.chain[-1] in proven


def remember(turn: Planning, probe: Probe) -> None:
    """Keep a failure that may become a certificate, or turn out a flake."""
    mem, queue = turn.mem, turn.queue
    since = landed_since(mem, probe.base)
    if all(k in queue or k in since for k in probe.chain):
        waiting = [k for k in probe.chain if k in queue]
        mem.failures.append(FailedProbe(probe.number, probe.base, probe.chain, waiting, suspects=probe.suspects))


def take_failure(turn: Planning, probe: Probe, good: set[str], broken: float) -> None:
    """`broken`: the probability that it failed for the green changes that it carried."""
    mem, queue = turn.mem, turn.queue
    since = landed_since(mem, probe.base)
    gone = [k for k in probe.chain if k not in queue and k not in since]
    lost = 1.0 if any(k in mem.culprits for k in gone) else turn.together(gone)
    alt = 1 - (1 - turn.beliefs.flake) * (1 - lost) * (1 - broken)
    cleared = good.union(mem.green)
    if lost < 1:
        accuse(turn, [k for k in probe.asked if k in queue and k not in cleared], probe.number, alt)


def distrust(turn: Planning) -> None:
    """Green changes that fail together on trunk as it is, without anything else, are
    suspects again: they passed on an older base, or with a flake."""
    mem = turn.mem
    for failure in mem.failures:
        chain = set(turn.rest(failure) or ())
        if not chain or not chain <= set(mem.green):
            continue
        if any(chain <= set(p.chain) for p in mem.passed):
            continue
        failure.doubted = False
        mem.green = [k for k in mem.green if k not in chain]
        suspects = [k for k in failure.chain if k in chain]
        mem.distrusted.update(suspects)
        mem.segments.append(Segment(suspects, [(failure.number, turn.beliefs.flake)]))
    turn.settle_green()


def recall(turn: Planning) -> None:
    """What landed since makes an old failure tighter evidence: it accuses the members
    that are left, those of the fewest first."""
    green = set(turn.mem.green)
    used = {number for s in turn.mem.segments for number, _ in s.evidence}
    for failure in sorted(turn.mem.failures, key=lambda f: (len(f.open), f.number)):
        if failure.number not in used and green.isdisjoint(failure.open):
            accuse(turn, list(failure.open), failure.number, turn.beliefs.flake)


def landed_since(mem: Memory, base: str) -> set[str]:
    """Keys that landed on `base` and after it, as far as remembered."""
    for at in range(len(mem.tips) - 1, -1, -1):
        if mem.tips[at].commit == base:
            return {k for tip in mem.tips[at + 1 :] for k in tip.chain or ()}
    return set()


def accuse(turn: Planning, suspects: list[str], number: int, alt: float) -> None:
    """A failed probe of `suspects`: a new segment, or a narrower or a better proven
    one. Evidence that an older segment explains already teaches nothing more."""
    if not suspects:
        return
    for segment in turn.mem.segments:
        if not set(segment.items).isdisjoint(suspects):
            if set(suspects) <= set(segment.items):
                tail = [k for k in segment.items if k not in suspects]
                segment.drop(tail, turn.together(tail))
                segment.evidence.append((number, alt))
            return
    turn.mem.segments.append(Segment(suspects, [(number, alt)]))
