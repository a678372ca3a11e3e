"""What runs at a worker: an order to its end, and the exchange with those who wait for it.

Dask runs each order in a thread, which nothing can stop from outside. So a watch beside it looks whether anybody still waits
for the order: its state says so when the caller has cancelled it or is gone, when the scheduler is, and when this worker ends.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentctl import __version__
from agentctl.cluster.mirror import Mirrors, cache
from agentctl.cluster.orders import Address, GateOrder, Said, SessionAnswer, SessionOrder, Unable, Word
from agentctl.engine import open_files
from agentctl.errors import AgentctlError, Contended, Infrastructure, Refused
from agentctl.fleet.session import SessionRun
from agentctl.gate.judging import GateRun
from agentctl.git import folders, process
from agentctl.git.repository import Hub
from agentctl.hub.verdicts import Judgement

GLANCE = 0.2
"""Seconds between two looks whether an order is still wanted."""
PIECE = 1 << 18
"""The most bytes of a session's output that go back at a time."""

mirrors = Mirrors(cache())
under_way: set[str] = set()
"""The keys of the orders that have begun and are being carried out."""
_early: set[str] = set()
"""The keys of those that are here and have not begun: they wait for the hub."""
_given_back: set[str] = set()
"""The keys of those that are given back, and do not begin any more."""
_sessions: dict[str, SessionRun] = {}
"""The sessions under way, by the key of their order."""


def judge(order: GateOrder) -> Judgement:
    """Run the gates on a commit; see `gate.judging.judge`.

    Raises Unable or, once it has begun, Infrastructure for what keeps this worker from it, and Refused for what would keep any.
    """
    with _told():
        return _judge(order)


def attend(order: SessionOrder) -> SessionAnswer:
    """Run a session and make its work safe at the hub; the caller writes down what became of it.

    Raises Unable or, once it has begun, Infrastructure for what keeps this worker from it, and Refused for what would keep any.
    """
    with _told():
        return _attend(order)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise what goes wrong as Infrastructure with the words alone, since not every error comes through the wire.

    What is refused is the fault of the order, not of this worker, and stays Refused; and so do Contended and Unable.
    """
    try:
        yield
    except (Refused, Contended, Unable) as error:
        raise type(error)(str(error)) from None
    except (AgentctlError, OSError) as error:
        mirrors.tell(str(error))
        raise Infrastructure(str(error)) from None


def _judge(order: GateOrder) -> Judgement:
    with _not_begun():
        hub = _hub(order.hub)
        if not hub.objects.exists(order.landed):
            hub = _hub(order.hub, fresh=True)
    run = GateRun()
    with _wanted(run.stop):
        process.run(["unpack-objects", "-q"], git_dir=hub.git_dir, stdin=order.pack)
        return run.judge(hub, order.policy, order.commit, order.known, order.base, order.doubted)


def _attend(order: SessionOrder) -> SessionAnswer:
    with _not_begun():
        # What the station has just seen, such as an answer, is to be seen here too.
        hub = _hub(order.hub, fresh=True)
    run, key = SessionRun(hub, order.policy, order.work), _key()
    _sessions[key] = run
    try:
        with _wanted(run.stop):
            session = run.attend(order.claim)
        printed = folders.size(run.log)
        return SessionAnswer(session, printed, folders.piece(run.log, max(0, printed - PIECE), PIECE))
    finally:
        del _sessions[key]


def exchange(words: Mapping[str, Word], dask_worker: Any = None) -> dict[str, Said]:
    """Hear what callers say to their orders, and return what is to be said of those, by key.

    Dask calls it in the thread of the worker's own loop, so it does not wait for anything.
    """
    said = {}
    for key, word in words.items():
        if run := _sessions.get(key):
            if word.stop and not run.stopping:
                run.stop()
            said[key] = Said(runs=run.running is not None, piece=folders.piece(run.log, word.heard, PIECE))
        elif key in under_way:
            said[key] = Said(runs=True)
        elif word.give_back and _give_back(key, dask_worker):
            said[key] = Said(given_back=True)
    return said


def _give_back(key: str, worker: Any) -> bool:
    """See that an order does not begin any more; tell whether that is so. One that is over has begun."""
    with _watch.lock:
        task = worker.state.tasks.get(key)
        back = key in _early or bool(task) and task.state in ("waiting", "constrained", "ready")
        if back:
            _given_back.add(key)
        return back


@contextlib.contextmanager
def _not_begun() -> Iterator[None]:
    """Raise what goes wrong as Unable. An order that comes here may be given back until it has begun."""
    key = _key()
    _early.add(key)
    try:
        yield
    except (AgentctlError, OSError) as error:
        _early.discard(key)
        if not isinstance(error, Unable):
            mirrors.tell(str(error))
        raise Unable(str(error)) from None


def _hub(address: Address, fresh: bool = False) -> Hub:
    if address.version != __version__:
        raise Infrastructure(f"this worker has agentctl {__version__}, and the caller {address.version}")
    open_files.allow_many()
    return mirrors.of(address, fresh)


def _key() -> str:
    from distributed import get_worker

    return str(get_worker().get_current_task())


@contextlib.contextmanager
def _wanted(stop: Callable[[], None]) -> Iterator[None]:
    """Begin the order that this thread carries out, and call `stop` once if nobody waits for it any more.

    Raises Unable if nobody does already.
    """
    from distributed import get_worker

    key, worker = _key(), get_worker()
    with _watch.lock:
        _early.discard(key)
        if key in _given_back or not _is_wanted(worker, key):
            _given_back.discard(key)
            raise Unable("nobody waits for it any more")
        under_way.add(key)
        _watch.orders[key] = worker, stop
        if not _watch.runs:
            threading.Thread(target=_watch.run, name="wanted", daemon=True).start()
            _watch.runs = True
    try:
        yield
    finally:
        under_way.discard(key)
        with _watch.lock:
            _watch.orders.pop(key, None)


@dataclass
class _Watch:
    """One thread that looks after all orders that are being carried out, and after the mirrors, as long as there are some."""

    orders: dict[str, tuple[Any, Callable[[], None]]] = field(default_factory=dict)
    """(Dask's worker, what stops the order), by the key of the order."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    runs: bool = False

    def run(self) -> None:
        while True:
            time.sleep(GLANCE)
            with self.lock:
                unwanted = [(key, stop) for key, (worker, stop) in self.orders.items() if not _is_wanted(worker, key)]
                for key, _ in unwanted:
                    del self.orders[key]
                runs = self.runs = bool(self.orders)
            for _, stop in unwanted:
                with contextlib.suppress(Exception):  # One that cannot be stopped keeps no other from it.
                    stop()
            # Orders alone bring objects here, whoever has started this worker.
            with contextlib.suppress(Exception):
                mirrors.turn()
            if not runs:
                return


def _is_wanted(worker: Any, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return worker.status.name in ("running", "paused") and bool(task) and task.state in ("executing", "long-running")


_watch = _Watch()
