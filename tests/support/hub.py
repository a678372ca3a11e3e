"""A real repository with a fast gate, and the few things that scenarios do with it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import agentctl
from agentctl import thread_caches
from agentctl.bot.bot import Bot
from agentctl.bot.lock import lock
from agentctl.core import notices
from agentctl.core.queue.events import Probed
from agentctl.core.queue.records import reason_kind
from agentctl.gate import judging, slots
from agentctl.git.objects import Person
from agentctl.git.repository import find
from agentctl.hub import inbox, status, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import in_force
from agentctl.hub.verification import prove
from tests.support import zygote

ROOT = Path(agentctl.__file__).parents[1]
ANN = Person("Ann", "ann@example.invalid")
PATIENCE = 60
"""Seconds after which a test gives up; nothing it waits for takes that long."""

CHECK = """\
# The gate: what a file of the tree says decides.
holds() { grep -rlsw --exclude=check.sh --exclude-dir=.agentctl --exclude=.git "$1" .; }
holds UNCLEAR && exit 125
holds BUG && echo "found a bug" && exit 1
holds SLOW && exec sleep 1000
exit 0
"""

POLICY = """\
version: 1
trunk: {trunk}
strategy: {strategy}
gates:
  - name: check
    run: {gate}
    timeout: {timeout}
queue:
  slots: {slots}
  retries: {retries}
agents:
  count: 2
  timeout: {agent_timeout}
  attempts: {attempts}
  dirty: {dirty}
  on_failure: {on_failure}
  backoff: {backoff}
{agents}protect:
  - .agentctl/**
"""
DEFAULTS = {
    "trunk": "main",
    "strategy": "squash",
    "gate": "sh check.sh",
    "timeout": "50s",
    "slots": 2,
    "retries": 2,
    "agent_timeout": "50s",
    "attempts": 3,
    "dirty": "commit",
    "on_failure": "salvage",
    "backoff": "30s",
    "agents": "",
}


def eventually(check):
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := check()):
        assert time.monotonic() < deadline, f"did not happen within {PATIENCE} s"
        time.sleep(0.01)
    return answer


def policy(**values):
    assert values.keys() <= DEFAULTS.keys(), f"the policy of tests has no {values.keys() - DEFAULTS.keys()}"
    return POLICY.format(**DEFAULTS | values)


class Repo:
    """A hub and its trunk, `main`."""

    def __init__(self, path):
        self.path = Path(path)
        self.hub = find(str(path))

    @classmethod
    def create(cls, path, files=None, bare=False, **values):
        """A repository whose trunk holds the policy, the gate and `files`."""
        path = Path(path)
        subprocess.run(["git", "init", "-q", str(path)], check=True)
        content = {".agentctl/policy.yaml": policy(**values), "check.sh": CHECK, "README": "read me\n", **(files or {})}
        write(path, content)
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "begin")
        if bare:
            git(path.parent, "clone", "-q", "--bare", str(path), str(path) + ".git")
            path = Path(str(path) + ".git")
        return cls(path)

    # what people and agents do

    @property
    def tip(self):
        return self.hub.trunk_tip("main")

    def change(self, files, message="work", base=None):
        """A commit on `base` (trunk) with `files` (None removes one)."""
        base, objects = base or self.tip, self.hub.objects
        data = {path: text if text is None else text.encode(errors="surrogateescape") for path, text in files.items()}
        tree = objects.replace(objects.commit(base).tree, data)
        return objects.write_commit(tree, [base], message + "\n", time.time(), author=ANN, committer=ANN)

    def submit(self, name, files, message=None, base=None, agent="ann", **facts):
        """A change on trunk's tip, submitted; returns its head."""
        head = self.change(files, message or f"add {name}", base)
        self.hand_in(name, head, agent, **facts)
        return head

    def hand_in(self, name, head, agent="ann", **facts):
        return inbox.submit(self.hub, head, agent, name, self.tip, **facts)

    def push(self, files, message="pushed around the queue"):
        """Trunk moved by somebody else, its checkout too."""
        new = self.change(files, message)
        git(self.path, "update-ref", "refs/heads/main", new)
        if self.hub.top:
            git(self.path, "reset", "-q", "--hard")
        return new

    # what the bot does

    def trunk_judged(self):
        """Trunk's own verdict by the bot, so that no run of a test spends its time on it."""
        tip, policy = in_force(self.hub)
        verdicts.store(self.hub, [judging.judge(self.hub, policy, judging.GateRun(), tip)], time.time())
        slots.remove_slots(self.hub)

    @contextlib.contextmanager
    def bot(self, **options):
        """A bot that holds its lock; its news are in `heard`, and in `judged` each probe for which a gate ran, with its end."""
        heard, judged = [], []

        def hear(event):
            heard.append(event)
            if isinstance(event, Probed) and not event.known:
                judged.append((event.probe, event))

        with lock(self.hub) as held:
            bot = Bot(self.hub, held, "main", hear, **options)
            bot.heard, bot.judged = heard, judged
            try:
                yield bot
            finally:
                bot.close()

    def drain(self, **options):
        """Run a bot until its queue is empty; returns it."""
        with self.bot(**options) as bot:
            finish(bot)
        return bot

    # what can be seen

    def record(self, name):
        return status.find(self.hub, name).record

    def kind(self, name):
        """Why a change was rejected, in a word."""
        return reason_kind(self.record(name))

    def stage(self, name):
        return status.find(self.hub, name).stage

    def stages(self):
        """How each submission that the ledger knows stands, by key."""
        ledger = Ledger.read(self.hub)
        return {r.key: str(r.stage) for r in [*ledger.state().queue.values(), *ledger.ended()]}

    def show(self, path, commit="main"):
        """A file's text on trunk, or None."""
        data = self.hub.objects.read(self.hub.objects.commit(self.hub.commit_of(commit)).tree, path)
        return None if data is None else data.decode()

    def refs(self, prefix="refs/agentctl/"):
        return self.git("for-each-ref", "--format=%(refname)", prefix).split()

    def answer(self, name):
        """The files in the outbox for a change's newest revision."""
        record = self.record(name)
        ref = f"refs/agentctl/outbox/{record.change.agent}/{record.key}"
        return {path: self.git("show", f"{ref}:{path}") for path in self.git("ls-tree", "--name-only", ref).split()}

    def verdict(self, name):
        return json.loads(self.answer(name)["verdict.json"])

    def landings(self):
        """Change keys on trunk by its first-parent history, oldest first."""
        form = "%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)"
        return self.git("log", "--reverse", "--first-parent", "--format=" + form, "main").split()

    def proven(self):
        """Assert that the invariants hold."""
        counts, findings = prove(self.hub, "main")
        assert [f for f in findings if f.grave] == []
        return counts

    def git(self, *args, cwd=None):
        return git(cwd or self.path, *args)

    def cli(self, *args, **options):
        return cli(*args, cwd=options.pop("cwd", self.path), **options)


def finish(bot):
    """Tick until the queue is empty."""
    until(bot, lambda: bot.idle)


def until(bot, reached):
    """Tick until something is so."""
    deadline = time.monotonic() + PATIENCE
    while True:
        bot.take_turn()
        if reached():
            return
        assert time.monotonic() < deadline, f"not reached within {PATIENCE} s"
        bot.wake.wait(0.1)


def told(bot, kind):
    """What a bot told of one kind, in words."""
    return [notices.told(event) for event in bot.heard if event.__struct_config__.tag == kind]


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def git(cwd, *args):
    done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout


def environment():
    # With the setting for which `run` would start once more, it does not: that would cost each of its tests a start.
    return os.environ | {"PYTHONPATH": str(ROOT), thread_caches.VARIABLE: thread_caches.SETTING}


def command(*args):
    return [sys.executable, "-m", "agentctl", *map(str, args)]


def cli(*args, cwd, ok=0, stdin=""):
    """Run the real command line; asserts its exit status."""
    done = zygote.run(args, cwd, environment(), stdin, PATIENCE)
    assert done.returncode == ok, f"agentctl {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
