"""The ground of every set-up, and what is counted."""

import subprocess
from pathlib import Path

import pytest

from agentctl.engine import processes
from agentctl.git import process
from tests.hostile.ground import BASE, Ground
from tests.support.hub import Repo

AS_PEOPLE_HAVE_IT = ("GIT_ALLOW_PROTOCOL", "GIT_PAGER", "GIT_EDITOR", "EDITOR", "VISUAL")
"""Variables that would keep a planted program from being run, whoever calls Git."""

_templates: dict[str, Path] = {}


@pytest.fixture
def template(tmp_path_factory, sealed):
    """A hub to copy, made once; its trunk is known to be green."""
    if "hub" not in _templates:
        made = Repo.create(tmp_path_factory.mktemp("template") / "hub", files=BASE, retries=0, attempts=1, slots=1, dirty="all")
        made.submit("first", {"first.txt": "first\n"})
        made.drain()
        for sample in (made.path / ".git/hooks").iterdir():
            sample.unlink()
        _templates["hub"] = made.path
    return _templates["hub"]


@pytest.fixture
def ground(tmp_path, template, sealed, monkeypatch):
    for name in AS_PEOPLE_HAVE_IT:
        monkeypatch.delenv(name)
    found = Ground(tmp_path / "place", template, sealed)
    mark = found.repo.hub.mark
    yield found
    processes.sweep(mark)
    found.repo.hub.objects.close()
    # pytest's own removal goes no deeper than Python's stack.
    subprocess.run(["rm", "-rf", str(found.place)])


class Tally:
    """Takes down what plain Git did; see `python -m tests.hostile`."""

    def __init__(self, kind, record):
        record("kind", kind)
        self.record = record

    def control(self, setup, seen, what):
        """A set-up in which plain Git does nothing shows nothing of agentctl either."""
        if not seen and setup.unless:
            pytest.skip(f"harmless in Git {'.'.join(map(str, process.version()))}: {setup.unless}")
        assert seen, f"plain Git is harmless in {setup.name!r}: {what}"
        self.record("control", str(what))


@pytest.fixture
def tally(request, record_property):
    return Tally(request.module.KIND, record_property)
