"""Each command is killed before each of its effects and given once more, which must finish the work.

    python -m bench.killpoints [COMMAND ...] [--every N] [--no-git] [--list]

A real agentctl process is killed (SIGKILL) before its n-th effect, for n = 1, 2, 3, ... until it ends untouched (see
bench/killed.py). Where strace works, each Git that writes is killed too, before each of its own system calls that
change something, and agentctl along with it. Then the same command is given again. It must succeed, and leave the
refs and files that an undisturbed run leaves, and no lock, temporary file or half folder. With --every N only each
N-th point is tried. To add a command: one entry in COMMANDS.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.common import ENV, table

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGENTCTL = [sys.executable, "-m", "agentctl"]
CALLS = "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,write,pwrite64,link,linkat,ftruncate,chmod,symlink"
PATIENCE = 120.0

POLICY = """\
version: 1
gates:
  - name: check
    run: "! grep -rqs BUG --include=*.txt ."
    timeout: 60s
agents:
  attempts: 9
"""

SHIM = """\
#!/bin/sh
# A Git that writes is counted; the one of that number is killed before its n-th call, and who started it with it.
# Most of them get an environment of their own, so files tell which.
here={here}
case " $* " in {writes}) ;; *) exec {git} "$@" ;; esac
read n <$here/count; n=$((n + 1)); echo $n >$here/count
read which call <$here/target
[ "$n" = "$which" ] || exec {git} "$@"
strace -qq -o /dev/null -e trace={calls} -e inject={calls}:signal=KILL:when=$call {git} "$@"
status=$?
[ $status = 137 ] && {{ echo killed >$here/killed; kill -9 $PPID; }}
exit $status
"""


@dataclass(frozen=True)
class Command:
    """A command that is killed."""

    words: str
    prepare: Callable[[str], None] = lambda hub: None
    """Makes what there is before the command, once, in a hub of which each run gets a copy."""
    again: tuple[int, ...] = (0,)
    """Exit statuses of the repeated command that mean success, or say truly that the work is done."""
    goal: Callable[[str], object] | None = None
    """What is compared with an undisturbed run; by default all refs and files."""


def sh(hub: str, line: str) -> None:
    env = ENV | {"PYTHONPATH": HERE, "AGENTCTL": " ".join(AGENTCTL)}
    subprocess.run(["sh", "-ec", line], cwd=hub, env=env, check=True, capture_output=True)


def shell(*lines: str) -> Callable[[str], None]:
    return lambda hub: sh(hub, "\n".join(lines))


CHANGE = "git switch -qc one; echo one >one.txt; git add one.txt; git commit -qm one; git switch -q main"
SUBMITTED = CHANGE + "; $AGENTCTL submit one --change one"
TO_APPROVE = (
    "echo 'approvals: [{paths: [one.txt]}]' >>.agentctl/policy.yaml; git commit -qam rules; " + SUBMITTED + " --agent ann"
)
LANDED = SUBMITTED + "; $AGENTCTL bot run --once"
BAD = "git switch -qc bad; echo BUG >bad.txt; git add bad.txt; git commit -qm bad; git switch -q main; $AGENTCTL submit bad --change bad"
REJECTED = BAD + "; $AGENTCTL bot run --once || true"
TASK = "$AGENTCTL task add --id one 'Do one'"
TASKS = "printf -- '- {id: a, prompt: do a}\\n- {id: b, prompt: do b}\\n- {id: c, prompt: do c}\\n' >.git/tasks.yaml"
IN_THE_WAY = (
    CHANGE + "; echo new >>README; git stash -q; $AGENTCTL submit one --change one; $AGENTCTL bot run --once; "
    "git update-ref refs/heads/main HEAD~1; git reset -q --hard; echo MINE >one.txt; echo edit >README; "
    "git update-ref refs/heads/main $(git rev-parse refs/heads/main@{1})"
)
AGENT = "sh -c 'echo $AGENTCTL_TASK >$AGENTCTL_TASK.txt; sleep 0.1'"


def trunk_and_proof(hub: str) -> object:
    """Return what a fleet or a bot is run for: trunk's files, the invariants, and that nothing is left."""
    verified = subprocess.run([*AGENTCTL, "verify"], cwd=hub, env=ENV | {"PYTHONPATH": HERE}, capture_output=True, text=True)
    left = [name for name in os.listdir(hub + ".agentctl")] if os.path.isdir(hub + ".agentctl") else []
    return (
        git(hub, "ls-tree", "-r", "--name-only", "main"),
        verified.returncode,
        left,
        git(hub, "status", "--porcelain"),
        [name for name in git(hub, "for-each-ref", "--format=%(refname)").splitlines() if "/salvage/" not in name],
    )


COMMANDS: dict[str, Command] = {
    "init": Command("init", shell("git rm -q -r .agentctl; git commit -qm 'no policy'")),
    "init of a bare one": Command(
        "init",
        shell(
            "git rm -q -r .agentctl; git commit -qm 'no policy'",
            "mv .git ../bare; rm -rf ./* .[a-z]*",
            "mv ../bare/* .; rmdir ../bare; git config core.bare true; rm -f index",
        ),
    ),
    "task add": Command("task add Do one", shell(":")),
    "task add --file": Command("task add --file .git/tasks.yaml", shell(TASKS)),
    "task done": Command("task done one --reason no", shell(TASK)),
    "task open": Command("task open one", shell(TASK, "$AGENTCTL task done one")),
    "task park": Command("task park a b --reason no", shell(TASKS, "$AGENTCTL task add --file .git/tasks.yaml")),
    "task bump": Command("task bump a b --priority 5", shell(TASKS, "$AGENTCTL task add --file .git/tasks.yaml")),
    "scale": Command("scale 3", goal=trunk_and_proof),
    "submit": Command("submit one --change one", shell(CHANGE)),
    "withdraw": Command("withdraw one", shell(SUBMITTED)),
    "approve": Command("approve one", shell(TO_APPROVE)),
    "approve --refuse": Command("approve one --refuse no", shell(TO_APPROVE)),
    "queue pause": Command("queue pause --reason release"),
    "queue resume": Command("queue resume", shell("$AGENTCTL queue pause; git pack-refs --all")),
    "queue bump": Command("queue bump one", shell(SUBMITTED)),
    "queue retry": Command("queue retry bad", shell(REJECTED), again=(0, 5)),
    "revert": Command("revert one", shell(LANDED)),
    "hook install": Command("hook install --guard-trunk"),
    "hook uninstall": Command("hook uninstall", shell("$AGENTCTL hook install --guard-trunk")),
    "doctor --mend checkout": Command("doctor --mend checkout", shell(IN_THE_WAY)),
    "doctor --mend refs": Command("doctor --mend refs", shell(TASK, ": >.git/refs/agentctl/tasks/one; : >.git/refs/heads/main")),
    "doctor --mend kinds": Command("doctor --mend kinds", shell("git update-ref refs/agentctl/inbox/odd HEAD")),
    "doctor --mend records": Command("doctor --mend records", shell("git update-ref refs/agentctl/tasks/one HEAD")),
    "bot run": Command("bot run --once", shell(SUBMITTED), goal=trunk_and_proof),
    "test": Command("test one", shell(CHANGE), goal=trunk_and_proof),
    "spawn": Command(f"spawn ann --task one -- {AGENT}", shell(TASK), again=(0, 1, 2), goal=lambda hub: None),
    "run": Command(f"run -n 2 -- {AGENT}", shell(TASKS, "$AGENTCTL task add --file .git/tasks.yaml"), goal=trunk_and_proof),
    "rm": Command(
        "rm ann --force",
        shell(TASK, f"$AGENTCTL spawn ann -- {AGENT}; echo more >../hub.agentctl/agents/ann/more.txt"),
        again=(0, 4),
    ),
}


def git(hub: str, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=hub, env=ENV, capture_output=True, text=True).stdout


# what a run leaves

NUMBERS = re.compile(r"(\"(?:created|at|ended|started|seconds|admitted|expires)\": ?)[\d.e+]+")


def state(hub: str) -> dict[str, str]:
    """Return the refs with what they hold, and the files; dates are left out."""
    found = {}
    for line in git(hub, "for-each-ref", "--format=%(refname) %(objecttype) %(objectname)").splitlines():
        name, kind, oid = line.split()
        if kind == "commit":
            shown = git(hub, "show", "-s", "--format=%B", oid) + git(hub, "rev-list", "--count", oid)
            shown += "".join(
                git(hub, "show", f"{oid}:{path}") for path in git(hub, "ls-tree", "-r", "--name-only", oid).splitlines()
            )
        else:
            shown = git(hub, "cat-file", "-p", oid).partition("\n\n")[2] + git(hub, "rev-parse", f"{oid}^{{}}")
        found[name] = NUMBERS.sub(r"\1T", re.sub(r"\d{10} [+-]\d{4}", "DATE", shown))
    for where, folders, names in os.walk(hub):
        folders[:] = [name for name in folders if os.path.join(where, name) not in skipped(hub)]
        for name in names:
            path = os.path.relpath(os.path.join(where, name), hub)
            found[path] = (
                content(os.path.join(hub, path))
                if not re.match(r"(\.git/)?(index|packed-refs|refs/|agentctl/|ORIG_HEAD)", path)
                else ""
            )
        for name in folders:
            found[os.path.relpath(os.path.join(where, name), hub) + "/"] = ""
    return {name: text for name, text in found.items() if not re.match(r"\.git/refs/|(\.git/)?agentctl/$", name)}


def skipped(hub: str) -> set[str]:
    own = [os.path.join(hub, ".git"), hub]
    return {
        os.path.join(top, name)
        for top in own
        for name in ("objects", "logs", "agentctl/logs", "agentctl/locks", "refs/heads", "refs/agentctl")
    }


def content(path: str) -> str:
    if os.path.islink(path):
        return "-> " + os.readlink(path)
    with open(path, errors="replace") as file:
        return file.read()


def leftovers(hub: str) -> list[str]:
    """Return Git's locks and temporary files; agentctl's own lock files, and sidecars of dead holders, may stay."""
    found = []
    for top in (hub, hub + ".agentctl"):
        for where, folders, names in os.walk(top):
            for name in [*folders, *names]:
                path = os.path.join(where, name)
                ours = "/agentctl/locks/" in path
                if re.search(r"\.agentctl-new|\.trash$|tmp_|\.tmp$|\.new$|\.kept-|_tmp", name) or (
                    name.endswith(".lock") and not ours
                ):
                    found.append(os.path.relpath(path, os.path.dirname(hub)))
    return found


# one point


@dataclass(frozen=True)
class Point:
    """The place of a kill: the n-th effect of agentctl, or the n-th call of its n-th Git that writes."""

    effect: int = 0
    git: int = 0
    call: int = 0

    def __str__(self) -> str:
        return f"effect {self.effect}" if self.effect else f"call {self.call} of Git {self.git}"


class Place:
    """A hub that is made once for a command, and a copy of it for each run, always at the same path."""

    def __init__(self, folder: str, command: Command) -> None:
        self.folder, self.command = folder, command
        self.hub, self.kept = os.path.join(folder, "hub"), os.path.join(folder, "kept")
        os.makedirs(self.hub)
        sh(self.hub, "git init -q -b main .; mkdir .agentctl; printf 'test:\\n\\ttrue\\n' >Makefile; echo read >README")
        with open(os.path.join(self.hub, ".agentctl/policy.yaml"), "w") as file:
            file.write(POLICY)
        sh(self.hub, "git add -A; git commit -qm begin; git config user.name Bench; git config user.email bench@example.invalid")
        command.prepare(self.hub)
        os.makedirs(self.kept)
        for name in ("hub", "hub.agentctl"):
            if os.path.isdir(os.path.join(folder, name)):
                os.rename(os.path.join(folder, name), os.path.join(self.kept, name))
        self.shim = self._shim()
        self.fresh()
        assert self.run()[0] in (*command.again, 7), f"{command.words} fails undisturbed"
        self.goal = self.reached()

    def _shim(self) -> str:
        from bench.killed import WRITES

        folder = os.path.join(self.folder, "bin")
        os.makedirs(folder)
        with open(os.path.join(folder, "git"), "w") as file:
            file.write(
                SHIM.format(
                    git=shutil.which("git"), calls=CALLS, here=folder, writes="|".join(f'*" {word} "*' for word in sorted(WRITES))
                )
            )
        os.chmod(os.path.join(folder, "git"), 0o755)
        return folder

    def fresh(self) -> None:
        for name in ("hub", "hub.agentctl"):
            shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)
            if os.path.isdir(os.path.join(self.kept, name)):
                subprocess.run(["cp", "-a", os.path.join(self.kept, name), self.folder], check=True)

    def run(self, point: Point = Point()) -> tuple[int, int, str]:
        """Return (exit status, number of effects or of Gits that write, -1 if killed, what was printed)."""
        words = self._words()
        env = ENV | {"PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}
        counted, killed = os.path.join(self.folder, "counted"), os.path.join(self.shim, "killed")
        for old in (counted, killed):
            if os.path.exists(old):
                os.unlink(old)
        argv = [*AGENTCTL, *words]
        if point.git:
            for name, text in (("count", "0\n"), ("target", f"{point.git} {point.call}\n")):
                with open(os.path.join(self.shim, name), "w") as file:
                    file.write(text)
            env |= {"PATH": f"{self.shim}:{env['PATH']}"}
        elif point.effect:
            argv = [sys.executable, "-m", "bench.killed", str(point.effect), counted, *words]
        done = subprocess.run(
            argv, cwd=self.hub, env=env, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
        )
        if point.git:
            count = -1 if os.path.exists(killed) else int(content(os.path.join(self.shim, "count")))
            return done.returncode, count, done.stdout + done.stderr
        return done.returncode, int(content(counted)) if os.path.exists(counted) else -1, done.stdout + done.stderr

    def _words(self) -> list[str]:
        import shlex

        return shlex.split(self.command.words)

    def reached(self) -> object:
        return (self.command.goal or state)(self.hub)

    def tried(self, point: Point) -> tuple[int, str]:
        """Return (what `run` counted, -1 if it was killed; what is wrong after the same command was given again)."""
        self.fresh()
        status, count, said = self.run(point)
        if count >= 0:
            return count, ""
        if status != -signal.SIGKILL:
            return -1, f"ended with {status} instead of being killed: {said[-200:]}"
        old_locks(self.hub)
        status, _, said = self.run()
        if status not in self.command.again:
            return -1, f"exit status {status}: {said.strip()[-300:]}"
        # The objects that a killed Git had begun are removed by the next start of a bot.
        left = [path for path in leftovers(self.hub) if not (point.git and "/objects/" in path)]
        if left:
            return -1, f"left: {', '.join(left)}"
        return -1, _difference(self.goal, self.reached())


def old_locks(hub: str) -> None:
    """Date locks back by a minute, since programs that are not called git may hold a lock for two seconds."""
    for where, _, names in os.walk(os.path.join(hub, ".git") if os.path.isdir(os.path.join(hub, ".git")) else hub):
        for name in names:
            if name.endswith((".lock", ".new")) and "/agentctl/locks" not in where:
                os.utime(os.path.join(where, name), (time.time() - 60,) * 2)


def _difference(wanted: object, found: object) -> str:
    if wanted == found:
        return ""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
        return "differs in " + ", ".join(sorted(names)) + f": {wanted.get(names[0])!r} / {found.get(names[0])!r}"[:300]
    return f"{found!r} instead of {wanted!r}"


def points(place: Place, every: int, with_git: bool) -> Iterator[tuple[Point, str]]:
    """Yield each point at which the command was killed, and what was wrong afterwards."""
    effect = 1
    while True:
        count, wrong = place.tried(Point(effect=effect))
        if count >= 0:
            break
        yield Point(effect=effect), wrong
        effect += every
    gits = 1
    while with_git:
        call = 1
        while True:
            count, wrong = place.tried(Point(git=gits, call=call))
            if count >= 0:
                break
            yield Point(git=gits, call=call), wrong
            call += every
        if count < gits:
            return
        gits += 1


def measured(name: str, every: int = 1, with_git: bool = True) -> tuple[int, int, float, list[str]]:
    """Return (points, points that the same command did not finish, seconds, what was wrong)."""
    begun, folder = time.time(), tempfile.mkdtemp(prefix="agentctl-kill-")
    try:
        found = list(points(Place(folder, COMMANDS[name]), every, with_git))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wrong = [f"{name}, {point}: {said}" for point, said in found if said]
    return len(found), len(wrong), time.time() - begun, wrong


def can_trace() -> bool:
    return (
        bool(shutil.which("strace"))
        and subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True).returncode == 0
    )


def main(args: list[str]) -> None:
    every = int(args[args.index("--every") + 1]) if "--every" in args else 1
    names = [name for name in args if name in COMMANDS] or [*COMMANDS]
    if "--list" in args:
        print("\n".join(COMMANDS))
        return
    with_git = "--no-git" not in args and can_trace()
    if not with_git:
        print("Git's own system calls are left out: there is no strace that works here, or --no-git was given")
    rows = []
    for name in names:
        count, bad, seconds, wrong = measured(name, every, with_git)
        rows.append((name, count, bad, seconds))
        print("\n".join([f"{name}: {count} points, {bad} not finished, {seconds:.0f} s", *wrong]), flush=True)
    rows.append(("all", sum(r[1] for r in rows), sum(r[2] for r in rows), sum(r[3] for r in rows)))
    table(rows, ("command", "kill points", "not finished by the same command", "seconds"))
    sys.exit(1 if rows[-1][2] else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
