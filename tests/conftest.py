"""Seals every test: nothing of the user's, of the machine's or of a surrounding Git or agentctl."""

import os
import signal
import socket

import pytest

from agentctl.engine import processes
from agentctl.git import process
from tests.support.hub import Repo, write
from tests.support.live_run import LiveRun

GITCONFIG = """\
[user]
	name = Tess Tester
	email = tess@example.invalid
[init]
	defaultBranch = main
[commit]
	gpgSign = false
[protocol "file"]
	allow = always
"""

NOWHERE = "http://127.0.0.1:9"
"""The port of the discard service, where nobody listens."""
CONNECT = socket.socket.connect

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A shell starts what it puts into the background with interrupts ignored, and nohup with
# hang-ups ignored; so would be every process that a test starts and stops.


def make_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text(GITCONFIG)
    return home


@pytest.fixture(scope="session")
def common_home(tmp_path_factory):
    return make_home(tmp_path_factory)


@pytest.fixture(autouse=True)
def sealed(request, tmp_path_factory, monkeypatch):
    """A home of its own, no network, no inherited variable that Git or agentctl would heed. Tests that write no files
    have one home together, since there are thousands of them."""
    pure = request.path.parent.name == "unit" or request.path.name == "test_tidy.py"
    home = request.getfixturevalue("common_home") if pure else make_home(tmp_path_factory)
    for name in list(os.environ):
        if name.startswith(("GIT_", "AGENTCTL_", "XDG_")):
            monkeypatch.delenv(name)
    fixed = {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "EDITOR": "false",
        "GIT_EDITOR": "false",
        "VISUAL": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_ALLOW_PROTOCOL": "file",
        "http_proxy": NOWHERE,
        "https_proxy": NOWHERE,
        "all_proxy": NOWHERE,
        "no_proxy": "",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "100",
    }
    for name, value in fixed.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    forget()
    yield home
    forget()


def no_network(self, address):
    if self.family != socket.AF_UNIX:
        raise AssertionError(f"a test reaches for {address}")
    return CONNECT(self, address)


def forget():
    """The environment that the door to Git remembers was another test's."""
    for cached in (process.binary, process.local_variables, process._closed_environment):
        cached.cache_clear()


@pytest.fixture
def make_repo(tmp_path):
    """A function that makes a hub; what a test leaves running in it is killed at its end."""
    made = []

    def make(name="repo", **options):
        made.append(Repo.create(tmp_path / name, **options))
        return made[-1]

    yield make
    for repo in made:
        processes.sweep(repo.hub.mark)


@pytest.fixture
def repo(make_repo):
    """A hub with trunk checked out and a gate that fails where a file holds BUG."""
    return make_repo()


@pytest.fixture
def claude(tmp_path, monkeypatch):
    """Put a program called claude on the PATH that is this script."""

    def put(script):
        write(tmp_path, {"bin/claude": f"#!/bin/sh\n{script}\n"})
        (tmp_path / "bin/claude").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return put


@pytest.fixture
def live(repo, tmp_path):
    """A function that starts a run whose agents touch a file when they begin; at the end of a test it is stopped."""
    started = []

    def start(script, *options):
        started.append(LiveRun(repo, f'touch "{tmp_path}/begun-$AGENTCTL_TASK"; {script}', tmp_path / "go", *options))
        return started[-1]

    yield start
    for one in started:
        one.kill()
