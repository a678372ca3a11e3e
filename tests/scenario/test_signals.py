"""Being asked to stop: by Ctrl-C on a terminal, which reaches the whole foreground group, again
and again, and by the end of the terminal."""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

import pytest

from agentctl.engine import upkeep
from tests.scenario.test_upkeep import written
from tests.support.agents import add, nothing_is_left, nothing_runs, run, task
from tests.support.hub import PATIENCE, command, environment, eventually

STUBBORN = 'trap "" TERM; echo half >half.txt; touch "$AGENTCTL_HUB/begun"; while :; do sleep 0.1; done'
"""An agent that has to be killed, which takes its grace of some seconds."""

SLOW_GIT = """\
#!/bin/sh
# Git, but slow to begin with refs; tells if the terminal's interrupt reaches it.
case "$*" in *update-ref*)
    trap 'echo hit >>"$HOME/hit"' INT
    echo begun >>"$HOME/begun"
    sleep 0.5
    trap - INT
    echo over >>"$HOME/over"
;; esac
case "$*" in *salvage*)
    # However slow the machine is, the clean-up is not over before it is told to go on.
    [ ! -e "$HOME/hold" ] || touch "$HOME/held"
    while [ -e "$HOME/hold" ]; do sleep 0.05; done
;; *repack*)
    echo packing >>"$HOME/packing"
    exec sleep 1000
esac
exec {git} "$@"
"""


AT_WORK = """\
import signal
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job
from agentctl.git import process
signal.signal(signal.SIGINT, lambda *_: None)
print("ready", flush=True)
for _ in range(200):
    process.text(["version"])
for _ in range(20):
    assert LOCAL.start(Job(("true",), ".", {}, "log", "test")).wait().exit == 0
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""


class Terminal:
    """agentctl as the leader of the session of a terminal."""

    def __init__(self, cwd, *words, **env):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command(*words),
            cwd=cwd,
            env=environment() | env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.said = ""

    def interrupt(self):
        os.write(self.master, b"\x03")

    def hears(self, words):
        eventually(lambda: words in self.said or self._read() and words in self.said)

    def _read(self):
        if select.select([self.master], [], [], 0)[0]:
            try:
                self.said += os.read(self.master, 65536).decode(errors="replace")
                return True
            except OSError:
                pass
        return False

    def ends(self):
        """The exit status; what is said until then is read, or the terminal would fill up."""
        eventually(lambda: not self._read() and self.process.poll() is not None)
        return self.process.returncode

    def hang_up(self):
        os.close(self.master)
        return self.process.wait(PATIENCE)


def begun(repo):
    return eventually((repo.path / ".git/begun").exists)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A HOME whose bin folder has the slow Git, first on the PATH."""
    (tmp_path / "home/bin").mkdir(parents=True)
    slow = tmp_path / "home/bin/git"
    slow.write_text(SLOW_GIT.format(git=shutil.which("git")))
    slow.chmod(0o755)
    return tmp_path / "home"


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_an_interrupt_reaches_no_git(repo, home):
    add(repo, "one", "two")
    shown = Terminal(repo.path, "run", "--", "sh", "-c", "sleep 1000", HOME=str(home), PATH=f"{home}/bin:{os.environ['PATH']}")
    eventually(lambda: lines(home / "begun"))
    shown.interrupt()
    assert shown.ends() == 130, shown.said
    assert lines(home / "hit") == []
    assert len(lines(home / "over")) == len(lines(home / "begun"))
    assert "Traceback" not in shown.said and "git update-ref" not in shown.said
    nothing_is_left(repo)


def test_an_interrupt_ends_the_upkeep_that_a_bot_waits_for_at_its_end(repo, home):
    written(repo, upkeep.MANY + 1)
    shown = Terminal(repo.path, "bot", "run", "--once", HOME=str(home), PATH=f"{home}/bin:{os.environ['PATH']}")
    eventually(lambda: lines(home / "packing"))
    shown.interrupt()
    assert shown.ends() == 130, shown.said
    assert lines(home / "over") and "Traceback" not in shown.said
    nothing_runs(repo)


def test_a_second_interrupt_does_not_cut_the_clean_up_short(repo):
    add(repo, "one")
    shown = Terminal(repo.path, "run", "--", "sh", "-c", STUBBORN)
    begun(repo)
    shown.interrupt()
    shown.hears("stopping")
    shown.interrupt()
    shown.hears("once more gives up at once")
    assert shown.ends() == 130, shown.said
    assert "Traceback" not in shown.said
    nothing_is_left(repo)
    assert {repo.show("half.txt", ref) for ref in repo.refs("refs/agentctl/salvage")} == {"half\n"}


def test_a_third_gives_up_at_once_and_the_next_start_goes_on(repo, home):
    add(repo, "one")
    (home / "hold").touch()
    shown = Terminal(repo.path, "run", "--", "sh", "-c", STUBBORN, HOME=str(home), PATH=f"{home}/bin:{os.environ['PATH']}")
    begun(repo)
    shown.interrupt()
    shown.hears("stopping")
    shown.interrupt()
    shown.hears("once more gives up at once")
    eventually((home / "held").exists)
    shown.interrupt()
    assert shown.ends() == 130
    (home / "hold").unlink()
    assert "gave up at once" in shown.said and "Traceback" not in shown.said
    nothing_runs(repo)
    run(repo, "echo done >done.txt")
    assert task(repo, "one")["status"] == "landed"
    assert {repo.show("half.txt", ref) for ref in repo.refs("refs/agentctl/salvage")} == {"half\n"}
    nothing_is_left(repo)


def test_a_closed_terminal_ends_it_in_order(repo):
    add(repo, "one")
    shown = Terminal(repo.path, "--verbose", "run", "--", "sh", "-c", 'touch "$AGENTCTL_HUB/begun"; exec sleep 1000')
    begun(repo)
    assert shown.hang_up() == 129
    nothing_is_left(repo)


def test_what_is_being_started_does_not_hear_interrupts(tmp_path):
    # A new process is in the terminal's foreground group until it has one of its own.
    at_work = subprocess.Popen(
        [sys.executable, "-c", AT_WORK], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, start_new_session=True
    )
    assert at_work.stdout.readline() == b"ready\n"
    while at_work.poll() is None:
        os.killpg(at_work.pid, signal.SIGINT)
        time.sleep(0.0005)
    at_work.stdout.close()
    assert at_work.returncode == 0
