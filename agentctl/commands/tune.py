"""agentctl policy tune: what other slots and batch limits would do, by simulation."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import click

from agentctl.core.planner import Settings
from agentctl.core.policy.policy import fingerprint
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.records import GateFailed, Landed, Record, Rejected
from agentctl.errors import NotFound, UsageError
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.hub.ledger import Ledger
from agentctl.simulation import tune
from agentctl.simulation.traffic import Arrival, read_trace
from agentctl.simulation.tune import Forecast, Setting
from agentctl.terminal.parser import Given, as_command, given

SLOTS, BATCHES = "1,2,4,8,16", "1,8,64"
CHANGES = 500
"""The least number of changes to simulate; a shorter history is repeated."""


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What the verdicts of one gate tell about it."""

    seconds: dict[tuple[str, str], float]
    """Seconds of a run by (tree, verdict), for runs that took time."""
    flaky: int
    """How many trees both passed and failed."""
    passed: int

    @property
    def flake(self) -> float:
        return self.flaky / self.passed if self.passed else 0.0


def runs_of(hub: Hub, gate: str) -> GateRecord:
    """Return what is known of the runs of the gate with that fingerprint.

    Reads all verdicts of the gate. Raises Malformed.
    """
    seconds: dict[tuple[str, str], float] = {}
    seen: dict[str, set[str]] = {}
    for known in verdicts.all_of(hub, gate):
        if known.seconds > 0:
            seconds[known.tree, known.verdict] = known.seconds
        seen.setdefault(known.tree, set()).add(known.verdict)
    passed = [said for said in seen.values() if Verdict.PASSED in said]
    return GateRecord(seconds, sum(len(said) > 1 for said in passed), len(passed))


def _decided_by(record: Record) -> tuple[str, str] | None:
    """Return the tree and the verdict by which the gate decided on a change; None if it did not decide."""
    match record:
        case Landed(proof=proof):
            return proof.passed.tree, Verdict.PASSED
        case Rejected(reason=GateFailed(failed=failed)):
            return failed, Verdict.FAILED
    return None


def traffic_of(records: Iterable[Record], seconds: Mapping[tuple[str, str], float], seed: int) -> list[Arrival]:
    """Return the changes that the gate decided on, in the order of admission.

    A change takes the time of the run that decided on it. If that is not known, the time is drawn from all known ones
    by `seed`.
    """
    dice, measured = random.Random(seed), sorted(seconds.values())
    decided = [(r, run) for r in records if (run := _decided_by(r))]
    decided.sort(key=lambda pair: (pair[0].change.admitted, pair[0].change.seq))
    own = [seconds.get(run) for _, run in decided]
    return [
        Arrival(r.change.admitted, r.change.agent, isinstance(r, Rejected), took or dice.choice(measured), r.change.priority)
        for (r, _), took in zip(decided, own, strict=True)
    ]


@as_command(
    "tune",
    """
agentctl policy tune
agentctl policy tune --slots 2,4,8 --batch 16,64 --plot tune.svg
agentctl policy tune --trace arrivals.jsonl --json
""",
)
@click.option("--trace", type=click.Path(), help="Take the traffic from this file instead of the ledger.")
@click.option("--slots", default=SLOTS, show_default=True, metavar="N,...", help="Numbers of slots to try.")
@click.option("--batch", default=BATCHES, show_default=True, metavar="N,...", help="Batch limits to try.")
@click.option("--flakes", metavar="P", help="Share of runs that fail a good tree; else as the verdicts show.")
@click.option("--plot", "picture", metavar="FILE", type=click.Path(), help="Draw the turnaround as SVG.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of what is drawn at random.")
@given
def command(given: Given, trace: str | None, slots: str, batch: str, flakes: str | None, picture: str | None, seed: int) -> int:
    """Say what other slots and batch limits would do to the queue.

    The planner is simulated on the queue's own past: when changes were admitted and from
    whom, which of them the gate rejected, how long the run took that decided on each, and how
    often one tree both passed and failed. Gaps of more than an hour are cut, a short history is repeated.
    For each setting: landings an hour, the time from admission to landing that half and
    95% of the changes stay within, and gate hours for each 100 landed changes. A star
    marks the policy's own setting.

    A trace has a JSON object a line: "at" (seconds), and optionally "agent", "bad",
    "seconds" (of the gate), "priority".
    """
    tried = tune.settings(numbers("--slots", slots), numbers("--batch", batch))
    flake = None if flakes is None else share("--flakes", flakes)
    limits, now = Settings(), None
    if trace:
        arrivals, flake = _read(trace), flake or 0.0
    else:
        policy = given.policy
        runs = runs_of(given.hub, fingerprint(policy))
        if not runs.seconds:
            raise NotFound("no run of the gate in force is known", hint="agentctl policy tune --trace FILE")
        flake = runs.flake if flake is None else flake
        arrivals = traffic_of(Ledger.read(given.hub).ended(), runs.seconds, seed)
        limits, now = Settings(rejection=policy.queue.rejection), Setting(policy.queue.slots, policy.queue.batch)
        tried = sorted({*tried, now}, key=lambda s: (s.slots, s.batch))
    if not arrivals:
        raise NotFound("no change has landed or been rejected by the gate yet", hint="agentctl policy tune --trace FILE")
    arrivals = tune.without_lulls(arrivals)
    many = list(tune.repeated(arrivals, max(CHANGES, len(arrivals))))
    report(given, told(arrivals, flake), (tune.outcome(many, s, limits, flake, seed=seed) for s in tried), now, picture)
    return 0


def _read(path: str) -> list[Arrival]:
    try:
        with open(path, encoding="utf-8") as file:
            return read_trace(file)
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class Observed:
    """The traffic in numbers."""

    changes: int
    agents: int
    bad: float
    """Share of the changes that are bad."""
    flakes: float
    gate_seconds: float
    queued: int | None
    """How many changes are queued at any time, whatever the rate; None if the rate decides."""
    rate: float | None
    """Arrivals an hour; None if all came at once."""

    @property
    def facts(self) -> dict[str, float | None]:
        """The value for `--json`."""
        return {
            "changes": self.changes,
            "agents": self.agents,
            "bad": self.bad,
            "flakes": self.flakes,
            "gate_seconds": self.gate_seconds,
            **({"queued": self.queued} if self.queued else {"arrivals_an_hour": self.rate}),
        }

    def __str__(self) -> str:
        rate = f"{self.queued} always queued" if self.queued else f"{self.rate:,.1f} an hour" if self.rate else "all at once"
        return (
            f"{self.changes} changes of {self.agents} agents, {self.bad:.1%} bad, {rate}; "
            f"the gate takes {tune.span(self.gate_seconds)}, {self.flakes:.2%} flakes"
        )


def told(arrivals: Sequence[Arrival], flake: float, queued: int | None = None) -> Observed:
    """Return the traffic in numbers."""
    time, count = arrivals[-1].at - arrivals[0].at, len(arrivals)
    return Observed(
        count,
        len({a.agent for a in arrivals}),
        sum(a.bad for a in arrivals) / count,
        flake,
        sorted(a.seconds for a in arrivals)[count // 2],
        queued,
        3600 * (count - 1) / time if time else None,
    )


def report(given: Given, traffic: Observed, outcomes: Iterator[Forecast], now: Setting | None, picture: str | None) -> None:
    """Print the table and draw the picture."""
    found = list(outcomes)
    if picture:
        with open(picture, "w", encoding="utf-8") as file:
            file.write(tune.plot(found, f"Turnaround of {traffic.changes} changes, {traffic.bad:.1%} of them bad"))
    if given.json:
        given.emit({"traffic": traffic.facts, "settings": [asdict(o) for o in found], "now": asdict(now) if now else None})
        return
    given.say(str(traffic), hang=2)
    given.show("\n".join(tune.lines(found, now)))


def numbers(option: str, text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= 100_000 for word in words):
        raise UsageError(f"{option}: expected numbers such as 1,2,4, not {text!r}")
    return list(dict.fromkeys(map(int, words)))


def share(option: str, text: str) -> float:
    """Return the value of a share such as 0.1 or 10%.

    Raises UsageError for anything else.
    """
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option}: expected a share such as 0.1 or 10%, not {text!r}")
    return value
