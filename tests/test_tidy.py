"""The project's own rules: layers, sizes, words, and manual pages that are fresh."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import click
import click.testing
import pytest

from agentctl import errors
from agentctl.terminal import manpages
from agentctl.terminal.parser import root
from tests.support.tree import every_command

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agentctl"
MODULES = sorted(PACKAGE.rglob("*.py"))

ROOMS = {
    "core/text": "",
    "core/refnames": "",
    "core/policy": "core/text",
    "core/queue": "core/text core/refnames core/policy",
    "core/tasks": "core/text core/refnames core/policy core/queue",
    "core/notices": "core/text core/queue core/tasks",
    "core/planner": "core/text core/queue",
    "simulation": "core",
    "git": "core",
    "engine": "core git",
    "hub": "core git engine",
    "gate": "core git engine hub",
    "bot": "core git engine hub gate",
    "fleet": "core git engine hub",
    "cluster": "core git engine hub gate fleet",
    "harness": "core git engine hub gate bot fleet",
    "doctor": "core git engine hub gate fleet",
    "demo": "core git engine hub",
    "replay": "core simulation git hub gate fleet harness",
    "terminal": "core git hub bot fleet",
    "commands": "core simulation git engine hub gate bot fleet cluster harness doctor demo replay terminal",
}
"""Each room of the package, and the rooms that it imports. `core` stands for all that is in it. No room stands above one that it
imports."""

READS_SECTIONS = "agentctl/terminal/parser.py"
"""Which commands there are stands in cli, so that --version need not import the parser."""

PARSERS = {"yaml": "agentctl/core/text/yaml_document.py", "jsonschema": "agentctl/core/text/schema_violations.py"}
"""Libraries that the core may use, each in one place."""

IMPURE = {
    "asyncio",
    "click",
    "datetime",
    "dulwich",
    "filelock",
    "io",
    "os",
    "pathlib",
    "psutil",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "uuid",
}

FILE_LINES, FUNCTION_LINES, MEDIAN_LINES = 400, 60, 150

NEVER = ("ticket", "polecat", "rollup", "pull request", "merge request", "bounce", "master branch")
"""Words for which the project has one of its own."""

OTHERS = ("bors",)
"""Programs that only the benchmarks, and what they measured, compare with."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(path)))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def of_each(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Makes one test of a check of a file: thousands of small tests would take longer than what they check."""

    def decorate(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            wrong = []
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    wrong.append(f"{name_of(path)}: {str(error) or 'line ' + str(error.__traceback__.tb_next.tb_lineno)}")
            assert not wrong, "\n".join(wrong)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


@cache
def imported(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def room(module: str, below: str) -> str | None:
    """The room of a module as seen from the room `below`; None if it stands in none."""
    parts = module.split(".")[1:]
    inner = "/".join(parts[:2])
    if inner in ROOMS:
        return inner if below.startswith("core/") else "core"
    return parts[0] if parts and parts[0] in ROOMS else None


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_what_its_entry_says(name):
    place, imports = PACKAGE / name, {}
    for path in place.rglob("*.py") if place.is_dir() else (place.with_suffix(".py"),):
        for module in imported(path):
            if module.startswith("agentctl.") and (other := room(module, name)):
                imports.setdefault(other, f"{name_of(path)} imports {module}")
    imports.pop(name, None)
    assert not {other: why for other, why in imports.items() if other not in ROOMS[name].split()}
    assert set(imports) == set(ROOMS[name].split())


def test_every_room_is_known_and_none_imports_one_above_itself():
    assert {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()} == {name.split("/")[0] for name in ROOMS}
    below = ["core"]
    for name, others in ROOMS.items():
        assert set(others.split()) <= set(below), name
        below.append(name)


@of_each(sorted((PACKAGE / "core").rglob("*.py")))
def test_the_core_is_pure(path):
    libraries = {name.split(".")[0] for name in imported(path)}
    impure = libraries & IMPURE | {name for name in libraries & PARSERS.keys() if PARSERS[name] != name_of(path)}
    assert not impure, f"{name_of(path)} imports {impure}"
    calls = {node.func.id for node in nodes(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"open", "print", "input"}


@of_each(MODULES)
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for node in nodes(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{name_of(path)}: {node.name} has {length} lines"


READS_MESSAGES = {
    "agentctl/core/queue/ledger_format_v1.py",
    "agentctl/core/queue/ledger_format.py",
    "agentctl/core/queue/history.py",
    "agentctl/core/queue/sentences.py",
    "agentctl/hub/ledger.py",
    "agentctl/hub/verification.py",
}
"""What knows of ledgers whose messages were all that told what happened."""


@of_each(MODULES)
def test_nothing_reads_what_a_ledger_says_in_words(path):
    texts = [node.value for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert path.parent.name == "replay" or not [text for text in texts if "%B" in text or text.startswith("--grep")]
    assert name_of(path) in READS_MESSAGES or not any("ledger_format_v1" in name for name in imported(path))
    for node in nodes(path):
        # told(event).startswith(...), "..." in told(event), re.match(..., told(event))
        used = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        inside = node.args if called(used) == "re" else node.comparators if isinstance(node, ast.Compare) else []
        assert not [one for one in (used, *inside) if isinstance(one, ast.Call) and called(one.func) == "told"], node.lineno


def called(node: ast.AST | None) -> str:
    """The last word of a name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@of_each([p for p in MODULES if p.parent.name in ("fleet", "gate", "cluster")])
def test_what_a_job_can_replace_is_opened_with_care(path):
    """A session or a gate can put a link, a device or a FIFO in the place of each file: see `git.folders` and `git.modes`."""
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            words = [ast.unparse(one) for one in (*node.args, *(word.value for word in node.keywords))]
            assert words[0].startswith(("'/proc/", "handle")) or "modes.opener" in words, node.lineno


PRINTS = {
    "agentctl/terminal/parser.py": "say, show, emit and note, through which all others print",
    "agentctl/commands/run_hook.py": "what Git calls, which waits for each import",
    "agentctl/terminal/manpages.py": "no command",
}


@of_each([p for p in MODULES if p.parent.name == "commands" and name_of(p) not in PRINTS])
def test_commands_print_in_one_place(path):
    """Where what others wrote is made safe for a terminal."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in (
                "print",
                "click.echo",
                "click.secho",
                "echo",
                "secho",
                "sys.stdout.write",
                "sys.stderr.write",
                "sys.stdout.buffer.write",
            ), node.lineno


def test_the_median_file_is_small():
    sizes = sorted(len(path.read_text().splitlines()) for path in MODULES)
    assert sizes[len(sizes) // 2] <= MEDIAN_LINES


@of_each(MODULES)
def test_every_module_says_what_it_is(path):
    tree = parsed(path)
    assert ast.get_docstring(tree) or path.name == "__main__.py"


def test_every_error_has_an_exit_code_and_a_code():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AgentctlError)]
    assert all(kind.__doc__ and kind.exit and kind.code for kind in kinds)


def texts() -> Iterator[Path]:
    for pattern in (
        "*.md",
        "docs/*.md",
        "man/*/*",
        "hooks/*",
        "policies/*",
        "bench/*.py",
        ".ci/*",
        "agentctl/**/*.py",
        "tests/**/*.py",
        "agentctl/demo/*",
    ):
        yield from (p for p in ROOT.glob(pattern) if p.is_file() and p != Path(__file__))


@of_each(sorted(set(texts())))
def test_nothing_is_left_open(path):
    text = path.read_text()
    found = re.search(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b", text)
    assert not found, f"{name_of(path)}: {found.group()}"


@of_each([p for p in sorted(set(texts())) if "tests" not in p.parts])
def test_one_word_for_one_thing(path):
    text = path.read_text().lower()
    assert not [
        word
        for word in NEVER + (() if "bench" in path.parts or path.name == "MEASUREMENTS.md" else OTHERS)
        if re.search(rf"\b{word}s?\b", text)
    ]


def test_manual_pages_are_fresh():
    assert list(manpages.stale()) == [], "run: python -m agentctl.terminal.manpages"


@of_each(sorted(ROOT.glob("man/*/*")))
def test_manual_pages_are_roff(path):
    lines = path.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith('.\\"'))
    assert lines[0].startswith((".TH ", '.\\"'))
    assert not re.search(r"(?<!\\)-", text), "a hyphen that cannot be typed back: write \\-"
    macros = {line.split()[0] for line in lines if line.startswith((".", "'"))}
    assert macros <= {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I", ".BR", ".IR", ".RB", ".IP", ".RS", ".RE", ".nf", ".fi"}
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert {"NAME", "DESCRIPTION", "SEE ALSO"} <= set(sections)
    if path.suffix == ".1":
        assert {"SYNOPSIS", "OPTIONS", "EXAMPLES", "EXIT STATUS"} <= set(sections)


def test_what_ci_installs_is_locked_above_the_lower_bounds():
    def numbers(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    lines = (ROOT / ".ci/requirements.txt").read_text().splitlines()
    locked = {name.lower(): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}
    for wanted in whole["build-system"]["requires"] + project["dependencies"] + project["optional-dependencies"]["test"]:
        name, _, lowest = wanted.partition(">=")
        assert numbers(locked[name]) >= numbers(lowest), wanted


def test_every_exit_status_is_in_the_manual():
    kinds = {kind.exit for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AgentctlError)}
    listed = {int(word) for number, _ in manpages.STATUSES for word in number.split(", ")}
    assert kinds | {0, 129, 130, 143} == listed


def test_every_command_has_help_and_examples():
    for path, command in every_command():
        assert command.help, path
        assert f"agentctl {path}" in (command.epilog or ""), f"{path} has no examples"
        assert all(p.help for p in command.params if isinstance(p, click.Option)), path


def test_short_help_fits_on_its_line():
    shown = click.testing.CliRunner().invoke(root, ["--help"], terminal_width=80).output.splitlines()
    first = shown.index(next(line for line in shown if line.startswith("  init")))
    last = shown.index("  Examples:")
    assert [line for line in shown[first:last] if line.startswith("   ") or line.endswith("...")] == []
    for path, command in every_command():
        if isinstance(command, click.Group):
            shown = click.testing.CliRunner().invoke(root, [*path.split(), "--help"], terminal_width=80).output
            assert [line for line in shown.splitlines() if line.startswith("  ") and line.endswith("...")] == [], path
