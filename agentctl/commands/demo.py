"""agentctl demo: agents that get things wrong, and a trunk that stays green."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from agentctl import signals
from agentctl.core.notices import Told
from agentctl.core.queue.events import Probed
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import facts
from agentctl.demo import place as places
from agentctl.demo.checks import Check, all_checks
from agentctl.demo.place import AGENT, AGENTS, TASKS, Place
from agentctl.demo.troublemakers import FLAKY, Story, all_stories, row, sent_back_by_chance
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.terminal.parser import Given, as_command, given

if TYPE_CHECKING:
    from agentctl.harness.loop import RunPlan
    from agentctl.harness.summary import Summary


@as_command(
    "demo",
    """
agentctl demo
agentctl demo --keep
agentctl demo --json
""",
)
@click.option("--keep", is_flag=True, help="Leave the folder, and say where to look.")
@given
def command(given: Given, keep: bool) -> int:
    """Watch eight agents work on a small project, many of them badly.

    In a temporary folder, on a repository made for it: nothing of yours is touched, and
    nothing but Python and Git is needed. The agents are scripts that stand in for a
    language model; all else is what `agentctl run` does. They write bugs, hang, crash,
    lie and get in each other's way, and all their tasks land on a trunk that was green at
    every commit. Exit status 7 if one did not, 9 if something else is not as it should be.
    """
    return demo(given, keep)


@dataclass(frozen=True)
class Findings:
    stories: list[Story]
    checks: list[Check]
    flukes: int
    """How many probes failed although only the test that fails by chance did."""
    innocent: list[str]
    """The submissions that the gate rejected although only that test failed."""

    @property
    def sound(self) -> bool:
        return all(check.holds for check in self.checks)


class Flukes:
    """Counts the probes that failed by chance alone."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.seen = hub, 0

    def tell(self, event: Told) -> None:
        if isinstance(event, Probed) and event.verdict == Verdict.FAILED:
            failed = verdicts.lookup(self.hub, event.gate, event.tree, Verdict.FAILED)
            log = failed.log if failed else ""
            self.seen += FLAKY in log and "FAILED (failures=1)" in log


def demo(given: Given, keep: bool) -> int:
    from agentctl.commands.run import watched

    with signals.held(), places.place(keep) as place:
        given.note(f"agentctl: {AGENTS} agents work in {place.folder} for half a minute")
        inner = _inner(given, place)
        flukes = Flukes(inner.hub)
        outcome = watched(inner, _job(inner), flukes.tell)
        summary = outcome.summary
        report = Findings(all_stories(place.hub), all_checks(place), flukes.seen, sent_back_by_chance(place.hub))
        if given.json:
            given.emit(
                {
                    "kind": "demo",
                    **facts(summary),
                    "parked_tasks": outcome.parked,
                    "flukes": report.flukes,
                    "innocent": report.innocent,
                    "stories": [facts(s) for s in report.stories],
                    "checks": [facts(c) for c in report.checks],
                    "folder": place.folder if keep else None,
                }
            )
        else:
            _page(given, summary, report)
            _where(given, place) if keep else _own(given)
    if not summary.complete:
        return 7
    return 0 if report.sound else 9


def _inner(given: Given, place: Place) -> Given:
    """Return the global options as if the command had been started in the project.

    Events are told only where there is a live view, or with --verbose.
    """
    quiet = given.json or given.quiet or not (sys.stdout.isatty() or given.verbose)
    return Given(path=place.project, quiet=quiet, verbose=given.verbose, color=given.color)


def _job(inner: Given) -> RunPlan:
    from agentctl.commands.run import add_missing
    from agentctl.fleet.crew import Crew
    from agentctl.harness.loop import RunPlan

    return RunPlan(Crew(AGENTS, AGENT, True), inner.policy, add_missing(inner, TASKS))


def _page(given: Given, summary: Summary, report: Findings) -> None:
    given.say(f"What {AGENTS} agents did, and how it was caught:")
    for story in report.stories:
        given.say(story.line, hang=16)
    given.say(
        row("a test", "fails 1 run in 12", f"failed probes: {report.flukes}, good sent back: {len(report.innocent)}"), hang=16
    )
    given.say()
    for line in summary.lines:
        given.say(line, hang=12)
    for check in report.checks:
        mark = "" if check.holds else "NOT AS IT SHOULD BE: "
        given.say(f"{check.what:<12}{mark}{check.found}", hang=12)
    given.say()


def _own(given: Given) -> None:
    given.say("In your own repository:")
    given.say("  agentctl init && git add .agentctl && git commit -m 'agentctl: add the policy'")
    given.say("  agentctl task add 'Describe the work'")
    given.say("  agentctl run --agents 4 --adapter claude")


def _where(given: Given, place: Place) -> None:
    given.say("Look around:")
    given.say(f"  cd {place.project}")
    for what, shown in (
        ("git log --stat", "what landed"),
        ("git log --first-parent refs/agentctl/state", "what the bot did"),
        ("agentctl why roman/1", "why a change was rejected"),
        ("agentctl task show median", "what became of a task"),
    ):
        given.say(f"  {what:<46}{shown}")
