"""A station's end of a cluster: the workers as they are now, and one order at a time carried out by one of them.

An order goes to a worker that has room, and to no other: Dask runs it nowhere else, and whether a worker is lost is judged
here. Whoever gave the order then knows that it has not been carried out, and says what that means.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentctl.cluster import at_worker, placement
from agentctl.cluster.orders import Said, Unable, Word
from agentctl.cluster.placement import Trouble, WorkerSeen
from agentctl.core.text.json_form import replace
from agentctl.errors import AgentctlError, Infrastructure, UsageError

PATIENCE, AGAIN = 10.0, 2.0
"""Seconds that a scheduler has to answer at first, and in each try after it was lost: Dask pauses longer and longer in one."""
GLANCE = 0.5
"""Seconds between two exchanges with the workers."""


def checked(address: str) -> str:
    """Return the address of a scheduler, or raise UsageError for what is none."""
    try:
        where = urllib.parse.urlsplit(address)
        good = bool(where.scheme and where.netloc) and (where.scheme not in ("tcp", "tls") or bool(where.port))
    except ValueError:
        good = False
    if not good or any(char.isspace() or not char.isprintable() for char in address):
        raise UsageError(f"{address!r} is not the address of a Dask scheduler", hint="tcp://HOST:8786, or tls://HOST:8786")
    return address


def quiet() -> None:
    """Let Dask log nothing: what it would say is told in our words, and to a terminal it prints whole stacks."""
    for name in (
        "asyncio",
        "distributed",
        *filter(lambda name: name.startswith("distributed."), logging.root.manager.loggerDict),
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Lost(AgentctlError):
    """{worker} was lost"""  # noqa: D400, D415

    code = "lost"


class SchedulerLost(Lost):
    """the scheduler at {worker} was lost"""  # noqa: D400, D415


class Unfit(Lost):
    """{worker} could not do it: {said}"""  # noqa: D400, D415


class NotBegun(Lost):
    """{worker} could not do it: {said}"""  # noqa: D400, D415

    # Nothing of the order has begun there, so it is as if it had never been sent.


class _Gone(Exception):
    """An order that nobody carries out any more."""


class Unwanted(AgentctlError):
    """it is not wanted any more"""  # noqa: D400, D415


class Listening(Protocol):
    """One who has something to say to an order that is carried out, and hears what that prints."""

    def word(self) -> Word:
        """Return what there is to say."""

    def hear(self, begin: int, piece: bytes) -> None:
        """Take in what was printed, from the byte `begin` on."""


@dataclass
class _Order:
    key: str
    resource: str
    over: threading.Event = field(default_factory=threading.Event)
    place: str = ""
    """The address of the worker that has it."""
    worker: str = ""
    """The name of that worker."""
    placed: float = 0.0
    """When it was sent there, by the monotonic clock."""
    listening: Listening | None = None
    heard: bool = False
    """True once the worker has told that it has begun: from then on its listener tells the worker what is wanted."""
    given_back: bool = False
    """True if the worker has told that it does not begin any more."""


class Engine:
    def __init__(self, address: str) -> None:
        """Connect to the scheduler of a cluster; raise Infrastructure if it does not answer, or Dask is not installed."""
        try:
            import distributed
        except ImportError as error:
            raise Infrastructure(f"the engine {address} needs Dask: {error}", hint="pip install 'agentctl[dask]'") from None
        quiet()
        self.address, self._dask = address, distributed
        self._client: Any = None
        self._lock = threading.Condition()
        self._seen: dict[str, tuple[float, float]] = {}
        """The last sign of life of each worker: when by its own clock, and when that was first seen here."""
        self._workers: dict[str, WorkerSeen] = {}
        self._doubted: set[str] = set()
        """Those of which an order was lost since the scheduler was asked last; nothing goes there until it is asked again."""
        self._troubles: dict[str, Trouble] = {}
        """Of each worker that could not do what it got, by address."""
        self._orders: dict[str, _Order] = {}
        self._threads = ThreadPoolExecutor(64, thread_name_prefix="exchange")
        self._exchanges: dict[str, Future[None]] = {}
        self._closing = threading.Event()
        self._connect(PATIENCE)
        self._observe()
        self._loop = threading.Thread(target=self._go, name="engine", daemon=True)
        self._loop.start()

    def room(self, resource: str) -> int:
        """Return how many orders that need one of a resource the cluster can carry out at a time, as it is now."""
        with self._lock:
            return placement.room(self._fit(), resource, self._troubles)

    def _fit(self) -> dict[str, WorkerSeen]:
        """Return the workers that do not rest."""
        now, never = time.monotonic(), Trouble("", 0.0)
        return {address: worker for address, worker in self._workers.items() if self._troubles.get(address, never).until <= now}

    def lacking(self, resource: str) -> str:
        """Return why no order that needs a resource can be carried out now; empty if one can, or could if others were over."""
        if self._client is None:
            return f"no scheduler answers at {self.address}; it is tried again until one does"
        if self.room(resource):
            return ""
        now = time.monotonic()
        if resting := [trouble.why for trouble in [*self._troubles.values()] if trouble.until > now]:
            return f"{resting[0]}; it is tried again"
        return f"no worker of {self.address} offers {resource}; start one where they are to run: agentctl worker {self.address} --{resource} N"

    def carry_out(
        self,
        work: Callable[[Any], Any],
        order: object,
        resource: str,
        wanted: Callable[[], bool],
        listening: Listening | None = None,
    ) -> Any:
        """Have a worker call `work` with the order, and return what that returns; wait for a worker with room before.

        Raises Lost if the worker or the scheduler was lost before, Unfit if `work` raised Infrastructure, NotBegun if it could
        not begin there, and Unwanted as soon as `wanted` says no: of an order without a listener at any time, else only until
        the worker hears the listener.
        """
        sent = _Order(f"agentctl-{resource}-{uuid.uuid4().hex}", resource, listening=listening)
        self._place(sent, wanted)
        future, client = None, self._client
        try:
            only = {"workers": [sent.place], "allow_other_workers": False, "retries": 0, "pure": False}
            try:
                future = client.submit(work, order, key=sent.key, resources={resource: 1}, **only)
                future.add_done_callback(lambda _: sent.over.set())
            except Exception as error:
                raise _Gone from error
            while not sent.over.wait(GLANCE):
                if not (sent.heard and listening) and not wanted():
                    raise Unwanted()
                if sent.given_back:
                    raise NotBegun(worker=sent.worker, said="it has trouble with other orders")
                if sent.place not in self._workers or client is not self._client:
                    raise _Gone
            if future.status == "cancelled":
                raise _Gone
            try:
                result = future.result(placement.LOST_AFTER)
                self._works(sent)
                return result
            except (OSError, CancelledError) as error:
                # It was over, and the worker that had its result was lost before that came here.
                raise _Gone from error
        except (_Gone, self._dask.scheduler.KilledWorker) as error:
            with self._lock:
                self._doubted.add(sent.place)
            if client is None or client is not self._client or client.status != "running":
                raise SchedulerLost(worker=self.address) from error
            raise Lost(worker=sent.worker) from error
        except Infrastructure as error:
            unfit = (NotBegun if isinstance(error, Unable) else Unfit)(worker=sent.worker, said=error.message)
            with self._lock:
                before = self._troubles.get(sent.place)
                self._troubles[sent.place] = placement.failed(before, unfit.message, time.monotonic())
            raise unfit from error
        finally:
            if future is not None and not sent.over.is_set():
                with contextlib.suppress(Exception):
                    future.cancel()
            with self._lock:
                self._orders.pop(sent.key, None)
                self._lock.notify_all()

    def _works(self, order: _Order) -> None:
        """Forget the trouble of a worker that does an order which it got after its rest."""
        with self._lock:
            if (trouble := self._troubles.get(order.place)) and order.placed >= trouble.until:
                del self._troubles[order.place]

    def _place(self, order: _Order, wanted: Callable[[], bool]) -> None:
        with self._lock:
            while True:
                if not wanted() or self._closing.is_set():
                    raise Unwanted()
                used = Counter(other.place for other in self._orders.values() if other.resource == order.resource)
                trusted = {address: worker for address, worker in self._fit().items() if address not in self._doubted}
                if place := placement.choose(trusted, order.resource, used, self._troubles):
                    order.place, order.worker, order.placed = place, self._workers[place].name, time.monotonic()
                    self._orders[order.key] = order
                    return
                self._lock.wait(GLANCE)

    # the loop

    def _go(self) -> None:
        while not self._closing.wait(GLANCE):
            try:
                if self._client is None:
                    self._connect(AGAIN)
                self._observe()
            except Exception:
                # The scheduler is gone. Whoever waits for an order sees that nobody has it.
                self._drop()
                continue
            with contextlib.suppress(RuntimeError):  # There may be no thread for it just now.
                self._exchange()

    def _connect(self, seconds: float) -> None:
        """Connect to the scheduler, or raise Infrastructure.

        Dask itself waits without an end for something else that listens there, such as its own dashboard.
        """
        made: Future[Any] = Future()
        threading.Thread(target=self._make_client, args=(seconds, made), name="connect", daemon=True).start()
        try:
            self._client = made.result(seconds + AGAIN)
        except (OSError, ValueError, FutureTimeout, RuntimeError):
            raise Infrastructure(
                f"no scheduler answers at {self.address}", hint="dask scheduler, and agentctl worker ADDRESS"
            ) from None

    def _make_client(self, seconds: float, made: Future[Any]) -> None:
        class Client(self._dask.Client):  # type: ignore[misc, name-defined]
            def __del__(self) -> None:
                """Do nothing: it is closed where it is needed no more, and Dask would wait for what does not answer."""

        try:
            _port_answers(self.address, seconds)
            made.set_result(Client(self.address, timeout=seconds, set_as_default=False, name="agentctl"))
        except Exception as error:
            made.set_exception(error)

    def _drop(self) -> None:
        client, self._client = self._client, None
        with self._lock:
            self._workers, self._seen = {}, {}
            self._lock.notify_all()
        if client is not None:
            with contextlib.suppress(Exception):
                client.close(1)

    def _observe(self) -> None:
        if self._client.status != "running":
            raise ConnectionError(self.address)
        told = self._client.sync(self._client.scheduler.identity, callback_timeout=placement.LOST_AFTER)["workers"]
        now, seen, workers = time.monotonic(), {}, {}
        for address, worker in told.items():
            before = self._seen.get(address)
            seen[address] = before if before and before[0] == worker["last_seen"] else (worker["last_seen"], now)
            workers[address] = WorkerSeen(str(worker["name"]), now - seen[address][1], worker["resources"])
        with self._lock:
            self._seen, self._workers = seen, placement.alive(workers)
            self._doubted.clear()
            self._troubles = {address: trouble for address, trouble in self._troubles.items() if address in told}
            self._lock.notify_all()

    def _exchange(self) -> None:
        """Begin an exchange with each worker that has orders with listeners, or has trouble, if the last one is over."""
        with self._lock:
            places = {order.place for order in self._orders.values() if order.listening or order.place in self._troubles}
        self._exchanges = {place: future for place, future in self._exchanges.items() if not future.done()}
        for place in places - self._exchanges.keys():
            self._exchanges[place] = self._threads.submit(self._exchange_with, place)

    def _exchange_with(self, place: str) -> None:
        with self._lock:
            orders = {key: order for key, order in self._orders.items() if order.place == place}
            rests = place not in self._fit()
        words = {key: order.listening.word() if order.listening else Word() for key, order in orders.items()}
        words = {key: replace(word, give_back=rests and not orders[key].heard) for key, word in words.items()}
        with contextlib.suppress(Exception):
            told: dict[str, Said] = self._client.run(at_worker.exchange, words, workers=[place])[place]
            for key, said in told.items():
                order = orders[key]
                order.given_back = said.given_back
                order.heard = not said.given_back
                if said.runs:
                    self._works(order)
                if order.listening:
                    order.listening.hear(words[key].heard, said.piece)

    def close(self) -> None:
        self._closing.set()
        self._loop.join(2 * PATIENCE)
        self._drop()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _port_answers(address: str, seconds: float) -> None:
    """Raise OSError or ValueError at once where nobody listens; Dask would try again until its time is over."""
    where = urllib.parse.urlsplit(address)
    if where.scheme in ("tcp", "tls"):
        socket.create_connection((where.hostname, where.port), seconds).close()
