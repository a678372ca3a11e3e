"""What the search for keys costs: in the end of a gate's output, and in what a change brings.

    python -m bench.secrets [FILES]

Redaction: the last 16 KiB of a log, compared with one start of a job that does nothing (`true`), which a failed gate
costs at least. Admission: a change of FILES files of this Python's own library (1,000), compared with all else that
the bot does to admit it. Milliseconds of processor time, for the start of a job of real time; the least of five runs.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
import time
from collections.abc import Callable

from agentctl.bot import added_keys
from agentctl.bot.admit import _entry
from agentctl.core.policy.policy import Policy, parse
from agentctl.core.queue import admission_rules
from agentctl.core.text import secrets
from agentctl.engine import environ
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job
from agentctl.git.merge import changed
from agentctl.git.repository import find
from bench.common import repository, table

TAIL = 16_384


def least(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    def once() -> float:
        begun = clock()
        work()
        return clock() - begun

    return 1000 * min(once() for _ in range(5))


def sources(count: int) -> list[bytes]:
    found = sorted(glob.glob(os.path.join(sysconfig.get_path("stdlib"), "**", "*.py"), recursive=True))
    return [open(path, "rb").read() for path in found[:count]]


def policy() -> Policy:
    return parse("version: 1\ngates: [{name: test, run: 'true'}]\n", "bench")


def main(count: int) -> None:
    texts = sources(count)
    with repository({"a": "a\n"}, "true") as top:
        hub = find(top)
        log, rows = os.path.join(top, "..", "log"), []
        job = Job(("true",), top, {}, log, hub.mark + "bench")
        start = least(lambda: LOCAL.start(job).wait(), time.monotonic)
        with open(log, "wb") as file:
            file.write(b"".join(texts)[-TAIL - environ.SLACK :])
        told = least(lambda: environ.tail(log, TAIL))
        rows.append(("start of a job", start, 1.0))
        rows.append(("end of a log, redacted", told, told / start))
        tip = hub.trunk_tip("main")
        tree = hub.objects.replace(hub.objects.commit(tip).tree, {f"lib/{n % 40}/{n}.py": text for n, text in enumerate(texts)})
        head = hub.objects.write_commit(tree, [tip], "many\n", 1)

        def plain() -> None:
            limits = policy().limits
            entries = [_entry(hub, *e, limits.path) for e in changed(hub, tip, head)]
            admission_rules.check(entries, limits, policy().protect)

        rest = least(plain)
        searched = least(lambda: added_keys.refusals(hub, policy(), tip, head, [head]))
        read = least(lambda: [hub.objects.blob(oid) for _, oid in hub.objects.walk(tree)])
        size = sum(map(len, texts))
        found = least(lambda: [list(secrets.leaks(text)) for text in texts])
        assert not added_keys.refusals(hub, policy(), tip, head, [head])
    rows += [
        (f"admitting {len(texts)} files, {size / 1e6:.1f} MB", rest, 1.0),
        ("  keys looked for, in all", searched, searched / rest),
        ("  of this: reading the files", read, read / rest),
        ("  of this: the rules", found, found / rest),
    ]
    table(rows, ("what", "ms", "ratio"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
