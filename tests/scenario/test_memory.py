"""Memory that was freed goes back to the system, also from below what is still in use, and from threads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl import thread_caches
from tests.support.hub import PATIENCE, command, environment, eventually

SCRIPT = """
import os
from agentctl.engine.memory import GivingBack

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

giving_back = GivingBack()
giving_back.turn()
begin = resident()
held = [bytes(2000) for _ in range(30_000)]
held = held[-1:]
before = resident() - begin
giving_back._next = 0.0
giving_back.turn()
print(before, resident() - begin)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_is_free_in_the_middle_is_given_back():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 30 and after < 10


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="another C library")
@pytest.mark.parametrize("before", ("", "glibc.malloc.arena_max=4"))
def test_what_lives_long_starts_once_more_without_caches_for_threads(repo, before):
    repo.submit("fix", {"a": "1\n"})
    env = environment() | {thread_caches.VARIABLE: before}
    running = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=env, stdout=subprocess.DEVNULL)
    try:
        there = Path(f"/proc/{running.pid}/environ")
        eventually(lambda: thread_caches.VARIABLE in there.read_text() and repo.stages() == {"fix/1": "landed"})
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 130


@pytest.mark.parametrize("given", ("", "glibc.malloc.arena_max=4"))
def test_what_it_starts_has_what_was_given(given, monkeypatch):
    whole = f"{given}:{thread_caches.SETTING}" if given else thread_caches.SETTING
    monkeypatch.setenv(thread_caches.VARIABLE, whole)
    thread_caches.do_without(["run"])
    assert os.environ.get(thread_caches.VARIABLE, "") == given
