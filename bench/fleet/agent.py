"""The scripted agent: a program that stands in for `claude` and behaves as a seeded table says.

It is copied as it is, so it uses nothing but the standard library. BENCH_PLACE names the folder of the benchmark:
`world.json` has the seed, the tempo and the table; `storm` the time until which the provider refuses everybody; and in
`journal/` each session notes what it does, before it does it, so that nobody has to believe agentctl.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import time

PLACE = os.environ["BENCH_PLACE"]
TASK, GENERATION, AGENT = (os.environ["AGENTCTL_" + name] for name in ("TASK", "GENERATION", "AGENT"))
with open(os.path.join(PLACE, "world.json")) as opened:
    WORLD = json.load(opened)
CHANCE = random.Random(f"{WORLD['seed']}/{TASK}/{GENERATION}")
JOURNAL = os.open(
    os.path.join(PLACE, "journal", f"{TASK}-{GENERATION}-{os.getpid()}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
)
FILE, SHARED = f"work/{TASK}.txt", "shared.md"
CLOSING = f"the end of {TASK}, session {GENERATION}\n"
ERROR = "Error: 1 test failed: tests/test_it.py::test_it expected 3 and got 4"


def note(**facts: object) -> None:
    os.write(JOURNAL, json.dumps({"at": time.time(), **facts}).encode() + b"\n")


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def think(seconds: float, refused: bool = True) -> None:
    """Wait for the model, which answers with status 429 while there is a storm."""
    end = time.time() + seconds
    while True:
        if refused and storm() > time.time():
            rate_limit()
        left = end - time.time()
        if left <= 0:
            break
        time.sleep(min(left, 0.5))
    act(f"look again after {CHANCE.random()} s", "it looks better")


def act(command: str, outcome: str) -> None:
    """Tell of a call of a tool and its outcome."""
    number = f"toolu_{CHANCE.getrandbits(48):x}"
    call = {"type": "tool_use", "id": number, "name": "Bash", "input": {"command": command}}
    say(type="assistant", message={"id": f"msg_{number}", "role": "assistant", "content": [call]})
    result = {"type": "tool_result", "tool_use_id": number, "content": outcome, "is_error": False}
    say(type="user", message={"role": "user", "content": [result]})


def storm() -> float:
    try:
        with open(os.path.join(PLACE, "storm")) as file:
            return float(file.read() or 0)
    except FileNotFoundError:
        return 0.0


def rate_limit() -> None:
    note(behaviour="rate limit")
    say(type="system", subtype="api_retry", attempt=10, max_retries=10, error_status=429, error="rate_limit")
    said = f'API Error: 429 {{"type":"error","error":{{"type":"rate_limit_error"}}}} retry-after: {WORLD["retry_after"]}'
    say(type="result", subtype="success", is_error=True, api_error_status=429, result=said)
    sys.exit(1)


def write(path: str, text: str) -> None:
    data = text.encode()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    note(file=path, blob=blob)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + "~", "wb") as file:
        file.write(data)
    os.rename(path + "~", path)
    note(wrote=path, blob=blob)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def commit() -> None:
    git("add", "-A")
    git("commit", "-q", "-m", f"{TASK}, session {GENERATION}")
    note(commit=git("rev-parse", "HEAD").strip())


def result() -> None:
    say(type="result", subtype="success", is_error=False, num_turns=4, result="It is done.", total_cost_usd=0.01)


def work(done: bool = True, bug: bool = False) -> None:
    """Write the task's file bit by bit; only work that is done has the closing line."""
    text = f"{TASK} by {AGENT}\n" + ("BUG\n" if bug else "")
    tempo = WORLD["tempo"] * CHANCE.uniform(0.5, 1.5) / 4
    for part in range(4 if done else 2):
        text += f"part {part}\n"
        write(FILE, text)
        think(tempo)
    if done:
        write(FILE, text + CLOSING)


def good() -> None:
    work()
    commit()
    result()


def slow_tests() -> None:
    """Say nothing for longer than the limit on silence, since a test suite runs."""
    work()
    subprocess.run(["sleep", str(1.5 * WORLD["silence"])], check=True)
    commit()
    result()


def late() -> None:
    """Say nothing at first, as a program does that prints only at its end."""
    time.sleep(1.5 * WORLD["silence"])
    good()


def bug() -> None:
    work(bug=True)
    commit()
    result()


def conflict() -> None:
    with open(SHARED) as file:
        lines = file.readlines()
    lines[3] = f"line 3 by {TASK}, session {GENERATION}\n"
    write(SHARED, "".join(lines))
    good()


def huge() -> None:
    write(f"work/{TASK}.bin", "0" * 2 * WORLD["change_bytes"])
    good()


def beside() -> None:
    work()
    commit()
    write(f"work/{TASK}-more.txt", "more\n" + CLOSING)
    write("README", f"edited by {TASK}, session {GENERATION}\n")
    result()


def daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        with open("/proc/self/stat") as file:
            note(daemon=os.getpid(), started=file.read().rpartition(")")[2].split()[19])
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(quiet, number)
        os.execve("/bin/sleep", ["sleep", "100000"], {})
    good()


def nothing() -> None:
    think(WORLD["tempo"] / 4)
    result()


def hang_at_start() -> None:
    time.sleep(1e6)


def hang_half_way() -> None:
    work(done=False)
    commit()
    time.sleep(1e6)


def hang_at_end() -> None:
    good()
    note(finished=True)
    time.sleep(1e6)


def crash() -> None:
    work(done=False)
    print("Traceback (most recent call last):\n  File \"tool.py\", line 7, in edit\nKeyError: 'colour'", file=sys.stderr)
    sys.exit(1)


def signalled() -> None:
    work(done=False)
    os.kill(os.getpid(), 11)


def endless() -> None:
    while True:
        say(type="assistant", message={"content": [{"type": "text", "text": "and so on " * 400}]})


def circles() -> None:
    while True:
        act("python -m pytest -q", ERROR)
        time.sleep(WORLD["silence"] / 20)


def chosen() -> str:
    """Draw what this session does; a task that was rejected is done well."""
    drawn = CHANCE.random()
    if os.environ.get("AGENTCTL_ANSWER"):
        return "good"
    for name, share in WORLD["shares"].items():
        drawn -= share
        if drawn < 0:
            return str(name)
    return "good"


def main() -> None:
    name = chosen()
    note(behaviour=name, task=TASK, generation=int(GENERATION), agent=AGENT)
    if name not in ("hang at start", "late"):
        say(type="system", subtype="init", session_id=f"{TASK}-{GENERATION}", tools=["Bash", "Edit"])
    BEHAVIOURS[name]()


BEHAVIOURS = {
    "good": good,
    "slow tests": slow_tests,
    "late": late,
    "bug": bug,
    "conflict": conflict,
    "huge file": huge,
    "dirty beside a commit": beside,
    "daemon": daemon,
    "nothing": nothing,
    "hang at start": hang_at_start,
    "hang half-way": hang_half_way,
    "hang after the result": hang_at_end,
    "crash": crash,
    "signal": signalled,
    "endless output": endless,
    "in circles": circles,
}

if __name__ == "__main__":
    main()
