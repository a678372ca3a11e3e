"""The lease by which a hub on a remote has one bot: refs/agentctl/bot, a commit that says who has it, and until when.

It saves work and protects nothing: of two bots, the second push of the ledger fails, and it looks again. The bot renews
it with the pushes that it makes anyhow. The clocks of two machines may differ: a lease that is over by the clock here, or
lasts for longer than any, is taken only if nobody renews it while one watches for as long as a lease lasts; one that was
renewed meanwhile is another bot's, whatever the clocks say. Whose process is dead on this machine loses it at once.
"""

from __future__ import annotations

import contextlib
import time

from agentctl.core import refnames
from agentctl.core.text.json_form import Plain, Struct, dump, load
from agentctl.engine import locks, owner
from agentctl.errors import AgentctlError, Contended, Malformed
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import decoding, describe
from agentctl.git.repository import Hub
from agentctl.git.watch import Watch

LASTS = 60.0
"""Seconds."""
WATCH = 2.0
"""Seconds between two looks at a lease that seems to be over."""


class Lease(Struct, frozen=True):
    until: float
    owner: Plain = {}
    """The identity of the bot's process."""

    @property
    def name(self) -> str:
        return f"process {self.owner.get('pid')} on {self.owner.get('host')}"


def read(hub: Hub, oid: str) -> Lease:
    """Return the lease in a commit; raise Malformed."""
    with decoding(refnames.BOT):
        return load(Lease, describe(hub.objects, refnames.BOT, oid).subject.encode())


def holds(left: float, watch: Watch) -> bool | None:
    """Tell whether a lease holds that lasts for another `left` seconds by the clock here; None as long as that is not sure."""
    if 0 < left <= LASTS or watch.moved and watch.still <= LASTS:
        return True
    return False if watch.still > LASTS else None


def take(hub: Hub, wait: bool = True) -> bool:
    """Take the lease, or raise Elsewhere if another bot has it; for a local hub there is none.

    As long as it is not sure whether another bot has it, this waits, or raises Unsure if nobody is to `wait`.

    Tells whether the bot before this one, if it has not ended by itself, is known to have died. Whose lease is over may only be
    suspended, or cut off from the hub; and what became of a process on another machine nobody here can know.
    """
    if not hub.station:
        return True
    if wait:
        hub.refs.refresh()
    while True:
        found = _free(hub, wait)
        # Another bot may be as fast.
        with contextlib.suppress(Contended):
            died = found is not None and _died(hub, found)
            _write(hub, found)
            return died


def _free(hub: Hub, wait: bool) -> str | None:
    """Return what holds no other bot's lease now."""
    while True:
        found = hub.refs.get(refnames.BOT)
        other, held = _others(hub, found)
        if not other or held is False:
            return found
        if held:
            raise Elsewhere(name=other.name)
        if not wait:
            raise Unsure(name=other.name)
        time.sleep(WATCH)
        hub.refs.refresh()


def _others(hub: Hub, oid: str | None) -> tuple[Lease | None, bool | None]:
    """Return another bot's lease that a commit is, if it is one, and whether it holds."""
    watch = hub.station.watch(refnames.BOT) if hub.station else None
    other = _other(hub, oid) if oid else None
    return other, holds(other.until - time.time(), watch) if other and watch else False


def standing(hub: Hub) -> bool:
    """Tell whether another bot's lease stands, as of the last look; where that is not sure, it goes by the clock here."""
    other, held = _others(hub, hub.refs.get(refnames.BOT) if hub.station else None)
    return other is not None and (time.time() < other.until if held is None else held)


def bot_works(hub: Hub) -> bool:
    """Tell whether the hub's bot is at work, in this repository or, as of the last look, at another station."""
    return bool(locks.holder(hub.own_path("locks", "bot.lock"))) or standing(hub)


def renew(hub: Hub) -> None:
    """Renew the lease if a third of its time is over; raise Lost if another bot has it."""
    if not hub.station:
        return
    heed(hub)
    found = hub.refs.get(refnames.BOT)
    if not found or _left(hub, found) < LASTS * 2 / 3:
        _write(hub, found)


def heed(hub: Hub) -> None:
    """Raise Lost if another bot has the lease, as of the last look; whoever was told so writes nothing more."""
    found = hub.refs.get(refnames.BOT) if hub.station else None
    if found and (other := _other(hub, found, mine=True)):
        raise Lost(name=other.name)


def release(hub: Hub) -> None:
    """Give the lease back, as far as that can be done."""
    if hub.station and (found := hub.refs.get(refnames.BOT)) and not _other(hub, found, mine=True):
        give = hub.refs.transaction("the bot ends")
        give.delete(refnames.BOT, found)
        give.commit()


class Elsewhere(Contended):
    """a bot works at this hub already: {name}"""  # noqa: D400, D415

    hint = "let it do the work: agentctl queue shows what it does"


class Unsure(Elsewhere):
    """a bot may be at work at this hub, which only time can show: {name}"""  # noqa: D400, D415


class Lost(AgentctlError):
    """another bot has taken over this hub: {name}"""  # noqa: D400, D415

    exit, code = Contended.exit, "lost"
    hint = "agentctl queue shows what it does"


def _other(hub: Hub, oid: str, mine: bool = False) -> Lease | None:
    """Return the lease unless it is this process's own, or not `mine` and a dead process's, or cannot be read."""
    try:
        held = read(hub, oid)
    except Malformed:
        return None
    if held.owner == owner.identity(home=hub.home) or not mine and not owner.alive(held.owner, hub.home):
        return None
    return held


def _died(hub: Hub, oid: str) -> bool:
    """Tell whether the process that has a lease is known to be dead."""
    with contextlib.suppress(Malformed):
        return not owner.alive(read(hub, oid).owner, hub.home)
    return False


def _left(hub: Hub, oid: str) -> float:
    try:
        return read(hub, oid).until - time.time()
    except Malformed:
        return 0.0


def _write(hub: Hub, old: str | None) -> None:
    now = time.time()
    with hub.objects.store.together():
        hub.objects.write_tree({})
        made = hub.objects.write_commit(
            EMPTY_TREE, [], dump(Lease(now + LASTS, owner.identity(home=hub.home))).decode().rstrip() + "\n", now
        )
        move = hub.refs.transaction("the bot's lease")
        move.update(refnames.BOT, made, old)
        hub.objects.store.flush()
        move.commit()
