"""How a project in Python is set up and tested, told from its files.

What it needs goes into the folder .venv of a worktree, whichever tool puts it there, and the gate calls the interpreter
there by name: nothing has to be activated.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.core.policy.project import Files, Project, of_toml
from agentctl.core.text.json_form import Plain

PYTHON = ".venv/bin/python"
MADE = "python3 -m venv .venv"
TESTING = ("test", "tests", "testing", "dev", "develop", "development", "all")
"""What the group of dependencies that tests need is called, the likeliest first."""
MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "tox.ini", "noxfile.py", "pytest.ini", "manage.py")
NO_TESTS = 5
"""The exit status of pytest if it finds no test."""

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_PYTEST = re.compile(r"pytest(?![\w.])", re.IGNORECASE)
_REQUIRED = re.compile(r"(?:requirements/)?[\w.-]*(?:requirements|test|dev)[\w.-]*\.(?:txt|in)")
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a project needs for its tests."""

    extra: str = ""
    """The optional dependency that tests need."""
    group: str = ""
    """The dependency group that they need."""
    files: tuple[str, ...] = ()
    """Files of requirements."""
    pytest: bool = False
    """Whether pytest is among all these."""


def recognise(here: Files) -> Project | None:
    """Return the Python project in a folder; None if there is none."""
    tests = any(map(_TEST_FILE.search, here.paths))
    files = [name for name in MANIFESTS if here.has(name)]
    if not files and not _requirements(here) and not (tests and any(name.endswith(".py") for name in here.names)):
        return None
    settings = of_toml(here.text("pyproject.toml"))
    needs = _needs(here, settings)
    setup, because, lock = _setup(here, settings, needs)
    watched = (*files, *needs.files, *((lock,) if lock else ()))
    if here.has("manage.py"):
        gate, said = f"{PYTHON} manage.py test", "manage.py is there"
    elif runner := _runner(here, settings, needs):
        setup, gate, said = f"{MADE} && .venv/bin/pip install -q {runner}", _run_by(runner, here), f"{runner} is configured"
        return Project("Python", here.folder, said, gate, setup, watched, (".venv", f".{runner}"), tests)
    else:
        none = "" if tests else f" || [ $? -eq {NO_TESTS} ]"
        gate, said = f"{PYTHON} -m pytest -q{none}", "there are test files" if tests else "there are no tests yet"
    return Project("Python", here.folder, ", and ".join(filter(None, (because, said))), gate, setup, watched, (".venv",), tests)


def _setup(here: Files, settings: dict[str, Plain], needs: _Needs) -> tuple[str, str, str]:
    """Return (the command that makes .venv, why it is this, the lock file or nothing)."""
    pytest = "" if needs.pytest or here.has("manage.py") else "pytest"
    extra, group = needs.extra, needs.group
    own = Files.table(settings, "tool")
    if here.has("uv.lock") or "uv" in own:
        chosen = f"{f' --extra {extra}' if extra else ''}{f' --group {group}' if group and group != 'dev' else ''}"
        locked = " --locked" if here.has("uv.lock") else ""
        return _then(f"uv sync -q{locked}{chosen}", "uv pip install -q", pytest), "uv is used", "uv.lock" if locked else ""
    if here.has("poetry.lock") or "poetry" in own:
        chosen = f"{f' --extras {extra}' if extra else ''}"
        made = f"{MADE} && poetry install -q -n{chosen}"
        return _then(made, ".venv/bin/pip install -q", pytest), "Poetry is used", "poetry.lock" if here.has("poetry.lock") else ""
    if here.has("pdm.lock") or "pdm" in own:
        made = f"{MADE} && pdm install -q{f' -G {extra or group}' if extra or group else ''}"
        return _then(made, ".venv/bin/pip install -q", pytest), "PDM is used", "pdm.lock" if here.has("pdm.lock") else ""
    if here.has("Pipfile"):
        done = "sync" if here.has("Pipfile.lock") else "install"
        made = f"{MADE} && PIPENV_VENV_IN_PROJECT=1 pipenv {done} --dev"
        return _then(made, ".venv/bin/pip install -q", pytest), "Pipenv is used", "Pipfile.lock" if done == "sync" else ""
    words = list(_pip_words(here, settings, needs)) + ([pytest] if pytest else [])
    newer = f" && {PYTHON} -m pip install -q --upgrade pip" if group and not extra else ""
    made = MADE + (f"{newer} && .venv/bin/pip install -q {' '.join(words)}" if words else "")
    return made, "pyproject.toml is there" if here.has("pyproject.toml") else "", ""


def _then(made: str, install: str, more: str) -> str:
    return f"{made} && {install} {more}" if more else made


def _pip_words(here: Files, settings: dict[str, Plain], needs: _Needs) -> Iterator[str]:
    for name in needs.files:
        yield f"-r {shlex.quote(name)}"
    package = (
        "project" in settings or "build-system" in settings or here.has("setup.py") or "[metadata]" in here.text("setup.cfg")
    )
    if package:
        yield f"-e '.[{needs.extra}]'" if needs.extra else "-e ."
    if needs.group and not needs.extra:
        yield f"--group {needs.group}"


def _needs(here: Files, settings: dict[str, Plain]) -> _Needs:
    extras = Files.table(settings, "project", "optional-dependencies")
    groups = Files.table(settings, "dependency-groups")
    extra, by_extra = _testing(extras, here.text("setup.cfg") + here.text("setup.py"))
    group, by_group = _testing(groups, "")
    required = _requirements(here)
    named = [here.text(name) for name in required] + [here.text("Pipfile"), str(Files.table(settings, "tool", "poetry"))]
    named += [
        str(Files.table(settings, "tool", "pdm")),
        str(Files.table(settings, "tool", "uv")),
        str(Files.table(settings, "project").get("dependencies")),
    ]
    return _Needs(extra, group, required, by_extra or by_group or any(map(_PYTEST.search, named)))


def _testing(groups: dict[str, Plain], elsewhere: str) -> tuple[str, bool]:
    """Return (the group that tests need, or nothing; whether it names pytest)."""
    # The name becomes a word of a command.
    with_pytest = [name for name, words in groups.items() if _PYTEST.search(str(words)) and _NAME.fullmatch(name)]
    for name in TESTING:
        if name in with_pytest:
            return name, True
    if with_pytest:
        return with_pytest[0], True
    for name in TESTING[:3]:
        if name in groups:
            return name, False
        if (
            found := re.search(rf"(?m)^\s*[\"']?({name})[\"']?\s*[=:]\s*[\[\n]?(.*)", elsewhere)
            if "extras_require" in elsewhere
            else None
        ):
            return name, bool(_PYTEST.search(elsewhere[found.start() :]))
    return "", False


def _requirements(here: Files) -> tuple[str, ...]:
    """Return the files of requirements, those that say what they need for a test last."""
    found = [path for path in here.paths if _REQUIRED.fullmatch(path) and path.count("/") < 2 and "requirements" in path]
    made = [path for path in found if path.endswith(".txt") or path[:-3] + ".txt" not in found]
    wanted = [path for path in made if path.split("/")[-1] in ("requirements.txt", "base.txt") or re.search("test|dev", path)]
    return tuple(sorted(wanted, key=lambda path: (bool(re.search("test|dev", path)), path)))


def _runner(here: Files, settings: dict[str, Plain], needs: _Needs) -> str:
    """Return tox or nox where it alone knows what tests need; else nothing."""
    if needs.pytest or needs.extra or needs.group or here.has("uv.lock") or here.has("poetry.lock"):
        return ""
    if here.has("tox.ini") and re.search(r"(?m)^\[(?:tox|testenv)", here.text("tox.ini")) or Files.table(settings, "tool", "tox"):
        return "tox"
    return "nox" if here.has("noxfile.py") else ""


def _run_by(runner: str, here: Files) -> str:
    if runner == "tox":
        return ".venv/bin/tox run -q -e py"
    sessions = re.findall(r"(?m)^def (\w+)\(", here.text("noxfile.py"))
    named = next((name for name in ("tests", "test", "pytest", "unit") if name in sessions), "")
    return f".venv/bin/nox -r{f' -s {named}' if named else ''}"
