"""Whatever a remote may refuse: what a bot says of it, how often, with which exit status it ends, and whether it resumes.

    python -m bench.refusals [NAME...]

In each row a change waits at the hub, and the hub refuses. `agentctl bot run --once` is started and ends. Then the hub is well, a bot is
at work, and the hub refuses again while the gate runs; once it is mended, the same bot lands the change. Nothing may land before, and
nothing twice. As root a server works
for nobody, so that permissions count. Without sshd the rows over ssh are left out.

A row takes about 45 seconds, most of which it waits, so three rows run at a time: all of them take about four minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agentctl.core.text.printable import printable
from bench.common import ENV, git, table
from bench.git_servers import LOCKED, serving
from bench.recipes import made_hub, submit

PATIENCE = 180.0
NOBODY = 65534
AT_ONCE = 3
"""How many rows run at a time."""


@dataclass(frozen=True)
class Place:
    folder: Path
    hub: Path
    clone: Path


@dataclass(frozen=True)
class Case:
    kind: str
    refuse: Callable[[Place], object]
    mend: Callable[[Place], object]


def hook(name: str, script: str) -> Case:
    def refuse(place: Place) -> None:
        path = place.hub / "hooks" / name
        path.write_text("#!/bin/sh\n" + script + "\n")
        path.chmod(0o755)

    return Case("path", refuse, lambda place: (place.hub / "hooks" / name).unlink())


def setting(key: str, value: str) -> Case:
    return Case(
        "path",
        lambda place: git(str(place.hub), "config", key, value),
        lambda place: git(str(place.hub), "config", "--unset", key),
    )


def update(*args: str) -> Callable[[Place], object]:
    return lambda place: git(str(place.hub), *args)


def restore(place: Place) -> object:
    return subprocess.run(
        [sys.executable, "-m", "agentctl", "bot", "restore"], cwd=place.clone, env=ENV, check=True, capture_output=True
    )


def owned(path: Path, who: int) -> None:
    for where, _, names in os.walk(path):
        for name in (".", *names):
            os.chown(os.path.join(where, name), who, who)


def away(place: Place) -> None:
    os.rename(place.hub, place.folder / "elsewhere.git")


def back(place: Place) -> None:
    os.rename(place.folder / "elsewhere.git", place.hub)


def other_key(name: str) -> Callable[[Place], object]:
    def refuse(place: Place) -> None:
        made, file = place.folder / "sshd" / "other", place.folder / "sshd" / name
        made.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made)], check=True)
        text, other = file.read_text(), made.with_suffix(".pub").read_text()
        file.with_suffix(".right").write_text(text)
        file.write_text(text.partition(" ")[0] + " " + other if name == "known" else other)

    return refuse


def right_key(name: str) -> Callable[[Place], object]:
    return lambda place: os.replace(place.folder / "sshd" / f"{name}.right", place.folder / "sshd" / name)


CASES = {
    "trunk is protected": hook("update", 'test "$1" != refs/heads/main || { echo "main is a protected branch"; exit 1; }'),
    "a hook declines all": hook("pre-receive", 'echo "the quota of 1 GB is used up"; exit 1'),
    "a pack is too large": setting("receive.maxInputSize", "1"),
    "no atomic push": setting("receive.advertiseAtomic", "false"),
    "the repository is gone": Case("path", away, back),
    "a ref's lock was left": Case(
        "path",
        lambda place: (place.hub / "refs/heads/main.lock").touch(),
        lambda place: (place.hub / "refs/heads/main.lock").unlink(),
    ),
    "read-only files": Case("daemon", lambda place: owned(place.hub, 0), lambda place: owned(place.hub, NOBODY)),
    "a login has expired": Case(
        "http", lambda place: (place.folder / LOCKED).touch(), lambda place: (place.folder / LOCKED).unlink()
    ),
    "a wrong key": Case("ssh", other_key("authorized"), right_key("authorized")),
    "the host's key changed": Case("ssh", other_key("known"), right_key("known")),
    "trunk was moved back": Case("path", update("update-ref", "refs/heads/main", "main~1"), restore),
    "trunk was deleted": Case("path", update("update-ref", "-d", "refs/heads/main"), restore),
    "trunk was renamed": Case("path", update("branch", "-M", "main", "primary"), restore),
}


@contextlib.contextmanager
def placed(case: Case) -> Iterator[Place]:
    """Make a hub with something on trunk, and a station whose bot has been at work."""
    folder = Path(tempfile.mkdtemp(prefix="agentctl-bench-"))
    try:
        place = Place(folder, made_hub(folder), folder / "ann")
        if case.kind == "daemon":
            folder.chmod(0o755)
            owned(place.hub, NOBODY)
        as_nobody = case.kind == "daemon"
        with serving(case.kind, str(folder), as_nobody) as server:
            git(str(place.clone), "remote", "set-url", "origin", server.url("hub.git"))
            for word in server.settings:
                git(str(place.clone), "config", *word.split("=", 1))
            policy = place.clone / ".agentctl/policy.yaml"
            policy.write_text(policy.read_text().replace("run: '", f"run: 'while [ -e {folder}/hold ]; do sleep 0.1; done; ", 1))
            git(str(place.clone), "commit", "-q", "-am", "a gate that waits")
            git(str(place.clone), "push", "-q", "origin", "HEAD:main")
            agentctl("init", place, "--remote", "origin")
            submit(place.clone, AGENTCTL, ENV, "first", "1\n")
            assert agentctl("bot", place, "run", "--once").returncode == 0
            submit(place.clone, AGENTCTL, ENV, "second", "2\n")
            yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


AGENTCTL = os.path.join(os.path.dirname(sys.executable), "agentctl")


def agentctl(command: str, place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AGENTCTL, command, *words], cwd=place.clone, env=ENV, capture_output=True, text=True, check=False)


def trunk(place: Place) -> list[str]:
    if not place.hub.exists():
        return []
    return git(str(place.hub), "-c", "safe.directory=*", "log", "--format=%s", "main", check=False).stdout.split()


def row(name: str, case: Case) -> tuple[str, ...]:
    with placed(case) as place:
        case.refuse(place)
        once = subprocess.run(
            [AGENTCTL, "bot", "run", "--once"],
            cwd=place.clone,
            env=ENV,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        hold, log = place.folder / "hold", place.folder / "bot.log"
        case.mend(place)
        hold.touch()
        submit(place.clone, AGENTCTL, ENV, "third", "3\n")
        with open(log, "w") as out:
            running = subprocess.Popen([AGENTCTL, "bot", "run"], cwd=place.clone, env=ENV, stdout=out, stderr=out, text=True)
        time.sleep(5)
        case.refuse(place)
        before = trunk(place)
        hold.unlink()
        time.sleep(25)
        early = trunk(place) not in ([], before)
        ended, begun = running.poll(), time.monotonic()
        case.mend(place)
        while trunk(place).count("third") == 0 and time.monotonic() < begun + PATIENCE:
            time.sleep(0.2)
        done = trunk(place)
        landed = time.monotonic() - begun if (done.count("second"), done.count("third")) == (1, 1) else None
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)
        verify = agentctl("verify", place).returncode
        told = [line for line in log.read_text().splitlines() if "agentctl:" in line or " the " in line]
        words = (once.stderr.strip() or once.stdout.strip()).splitlines()
        wrong = [
            what for what, so in (("landed too early", early), ("not landed", landed is None), (f"verify {verify}", verify)) if so
        ]
        said = printable(words[0] if words else "", 110)
        return (
            name,
            case.kind,
            said,
            str(once.returncode),
            str(len(told)),
            "no" if ended is not None else "yes",
            "-" if landed is None else f"{landed:.1f} s",
            ", ".join(wrong) or "-",
        )


def narrated(name: str) -> tuple[str, ...]:
    """Return a row, and say when it begins and ends."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    begun, made = time.monotonic(), row(name, CASES[name])
    print(f"{' | '.join(made)} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
    return made


def main() -> int:
    wanted = sys.argv[1:] or [*CASES]
    if not os.path.exists("/usr/sbin/sshd") and not shutil.which("sshd"):
        wanted = [name for name in wanted if CASES[name].kind != "ssh"]
    if os.geteuid():
        wanted = [name for name in wanted if CASES[name].kind != "daemon"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = [*pool.map(narrated, wanted)]
    table(rows, ("refusal", "over", "said", "exit", "lines", "resumes", "after", "wrong"))
    return any(one[-1] != "-" for one in rows)


if __name__ == "__main__":
    sys.exit(main())
