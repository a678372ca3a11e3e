"""Probes of a shape that this test wants and not the planner, on a real bot."""

import time

from agentctl.core import refnames
from agentctl.core.queue.model import Probe
from tests.support.hub import eventually


def turn(bot):
    return bot.begin_turn(time.time())


def admitted(bot):
    """Take in what was submitted, and plan nothing."""
    now = turn(bot)
    bot.take_in(now, bot.hub.refs.names([refnames.INBOX]))
    bot.end_turn(now)


def started(bot, number, base, *names):
    """A probe of these changes, recorded and running."""
    probe = Probe(number, base, tuple(f"{name}/1" for name in names), len(names), "for the test")
    now = turn(bot)
    bot.stage(now, probe)
    bot.end_turn(now)
    bot.launch()
    return probe


def judged(bot, *probes):
    """Wait for the gates of probes, and take in what they said."""
    eventually(lambda: all(bot.runs.runs[p.number].future.done() for p in probes))
    now = turn(bot)
    bot.collect(now)
    bot.end_turn(now)
    bot.fresh.clear()


def land(bot, probe):
    now = turn(bot)
    landed = bot.land(now, probe, "for the test")
    bot.end_turn(now)
    return [key.split("/")[0] for key in landed]
