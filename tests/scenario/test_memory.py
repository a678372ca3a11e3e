"""Memory that was freed goes back to the system, also from below what is still in use."""

import subprocess
import sys

import pytest

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
