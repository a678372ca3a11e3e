"""Probes of a shape that this test wants and not the planner, on a real bot."""

import time

from agentctl.core import refnames
from agentctl.core.queue.model import Probe
from tests.support.hub import eventually


def turn(bot):
    return bot._turn(time.time())


def admitted(bot):
    """Take in what was submitted, and plan nothing."""
    now = turn(bot)
    bot._trunk.follow(now)
    bot._border.take(now, bot.policy, bot.hub.refs.names([refnames.INBOX]))
    bot._commit(now)


def started(bot, number, base, *names):
    """A probe of these changes, recorded and running."""
    probe = Probe(number, base, tuple(f"{name}/1" for name in names), len(names), "for the test")
    now = turn(bot)
    bot._stage(now, probe)
    bot._commit(now)
    bot._launch()
    return probe


def judged(bot, *probes):
    """Wait for the gates of probes, and take in what they said."""
    eventually(lambda: all(bot._runs.runs[p.number].future.done() for p in probes))
    now = turn(bot)
    bot._collect(now)
    bot._commit(now)
    bot._fresh.clear()


def land(bot, probe):
    now = turn(bot)
    landed = bot._land(now, probe, "for the test")
    bot._commit(now)
    return [key.split("/")[0] for key in landed]
