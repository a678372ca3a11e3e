"""The scripted agent of the demonstration: it does one task, and does some tasks wrong at first.

It stands in for a language model. It is a program of its own, run as `python -I -S agent.py` in an agent's worktree,
so it uses nothing but the standard library. Like any agent, it knows its task, its session and the answer to its last
attempt from the environment.
"""

import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NOT_YET = 75
EXPORTED = ("title-case", "initials", "reverse-words")
NEEDS = {"chapters": "roman", "outline": "chapters"}
BUGS = {
    "roman": ('(5, "V"), (4, "IV"), ', '(5, "V"), '),
    "luhn": ("numbers[1::2]", "numbers[0::2]"),
    "leap": (" or year % 400 == 0)", ")"),
}
"""By task, (the right text, what the first version of its solution has in place of it)."""


def unpack(name: str) -> dict[str, str]:
    """Return the files of an archive beside this program: {path: text}."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        parts = ("\n" + file.read()).split("\n==== ")[1:]
    return {path: text.strip("\n") + "\n" if text.strip() else "" for path, _, text in (part.partition("\n") for part in parts)}


def main() -> int:
    task, first = os.environ["AGENTCTL_TASK"], os.environ["AGENTCTL_GENERATION"] == "1"
    if task in NEEDS and not os.path.exists(f"kit/{NEEDS[task]}.py"):
        print(f"kit/{NEEDS[task]}.py is not there yet")
        return NOT_YET
    time.sleep(random.uniform(0.4, 1.2))
    if first and task in MISCHIEF:
        MISCHIEF[task]()
    work(task)
    commit(task)
    return 0


def work(task: str) -> None:
    """Edit files as the task asks."""
    if task == "rename-show":
        rename("show", "render")
        return
    module = task.replace("-", "_")
    for path in (f"kit/{module}.py", f"tests/test_{module}.py"):
        write(path, unpack("solutions.txt")[path])
    if task in BUGS and f"test_{module}" not in answer("gate.log"):
        replace(f"kit/{module}.py", *BUGS[task])
    if task == "receipt" and "def render" in read("kit/money.py"):
        replace("kit/receipt.py", "money.show(", "money.render(")
    if task in EXPORTED:
        export(module)


def rename(old: str, new: str) -> None:
    """Rename a function of kit/money.py, and all its uses."""
    replace("kit/money.py", f"def {old}(", f"def {new}(")
    for folder in ("kit", "tests"):
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py"):
                replace(f"{folder}/{name}", f"money.{old}(", f"money.{new}(")


def export(name: str) -> None:
    """Add a name to the exports of kit/__init__.py.

    Everybody who exports something edits the same line.
    """
    text = read("kit/__init__.py")
    begin, end = text.index("[") + 1, text.index("]")
    names = sorted({*(part.strip(' "') for part in text[begin:end].split(",")), name})
    write("kit/__init__.py", text[:begin] + ", ".join(f'"{n}"' for n in names) + text[end:])


def answer(name: str) -> str:
    """Return a file of the queue's answer to the last attempt, or an empty string if there is none."""
    folder = os.environ.get("AGENTCTL_ANSWER")
    return read(os.path.join(folder, name)) if folder else ""


def commit(task: str) -> None:
    message = f"Add {task}\n" if task != "rename-show" else "Call money.show money.render\n"
    if task == "checksum":
        message += "\nAgentctl-Change: rename-show/1\nAgentctl-Agent: somebody-else\n"
    git("add", "--all")
    git("commit", "--quiet", "--no-verify", "--message", message)


def hang() -> None:
    write("kit/wrap.py", '"""Wrapping text."""\n\n\ndef wrap(text, width):\n')
    print("thinking", flush=True)
    time.sleep(1000)


def crash() -> None:
    write("kit/median.py", '"""The median."""\n\n\ndef median(numbers')
    replace("kit/text.py", "return", "retrun")
    os.kill(os.getpid(), signal.SIGKILL)


def lie() -> None:
    print("Done! I added kit/plural.py and all tests pass.")
    sys.exit(0)


def leave_behind() -> None:
    left = subprocess.Popen(
        ["sleep", "1000"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    print(f"left process {left.pid} behind", flush=True)


def weaken() -> None:
    policy = read(".agentctl/policy.yaml")
    write(
        ".agentctl/policy.yaml",
        "\n".join("    run: 'true'" if line.startswith("    run: ") else line for line in policy.splitlines()) + "\n",
    )


MISCHIEF = {"wrap": hang, "median": crash, "plural": lie, "duration": leave_behind, "percent": weaken}
"""By task, what its first session does before the work, or instead of it."""


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def replace(path: str, old: str, new: str) -> None:
    write(path, read(path).replace(old, new))


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
