"""Find the small faults in the pure core that no fast test would notice.

    python -m bench.mutants [MODULE[:LINE]...] [--sample N] [--seed S] [--slowest SECONDS] [--list]

A mutant is a module of `agentctl/core` with one small fault: a comparison turned around, a condition always true, a
number one too high, an element of a set left out, and so on. The fast tests have to fail with it; a mutant with which
all of them pass survives, and shows what is not tested, unless it makes no difference that anybody could see.

The fast tests that concern a module are those of the files in tests/unit and tests/property that import it, be it through
other modules of the core or of the tests, and that take no more than `--slowest` seconds of computing. They run twice without
a mutant first, and must pass: once for their times, once in the order of these to learn which test calls which function. A
mutant is tried with the tests that call its function, until one fails: first those of files that import its module themselves,
the quickest first. If its line runs at import, these are all that concern its module. Each mutant has a process of its own,
forked from one that has imported the libraries but nothing of agentctl. What computes ten times as long as it should counts
as killed.

Property tests make the same examples in each run, and nothing is shrunk. Messages for people are not mutated.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from bench.common import table

ROOT = Path(__file__).resolve().parents[1]
HUBS = "tests.support.hub"
"""Makes hubs on disk; what a test reaches through it alone does not concern it."""
WARM = ("click", "dulwich", "filelock", "hypothesis", "jsonschema", "msgspec", "psutil", "rich", "yaml", "_pytest", "xml", "http")
"""What every mutant would import anew otherwise; with what is below them."""
PATIENCE, MEMORY = 10, 6 << 30
"""How much slower than without it the tests may be with a mutant, and how many bytes they may take."""
STARTUP = 3.0
"""Seconds until a process has collected its tests."""

OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.Gt: ast.GtE,
    ast.Eq: ast.NotEq,
    ast.In: ast.NotIn,
    ast.Is: ast.IsNot,
    ast.And: ast.Or,
    ast.Add: ast.Sub,
}
SWAPPED = {**OTHERS, **{second: first for first, second in OTHERS.items()}}
COMPARING = ("startswith", "endswith", "removeprefix", "removesuffix")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


# What can be wrong.


@dataclass(frozen=True)
class Mutant:
    """One node of a module's tree, and what stands in its place."""

    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST
    line: int
    statement: ast.stmt
    """The innermost that holds it, as it is shown."""
    function: int | None
    """The first line of the function that it is in; None if it runs at import."""

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        before = getattr(self.parent, self.field)
        after = self.new if self.index is None else [*before[: self.index], self.new, *before[self.index + 1 :]]
        setattr(self.parent, self.field, after)
        try:
            yield
        finally:
            setattr(self.parent, self.field, before)

    def shown(self) -> tuple[str, str]:
        """Without and with the mutant, the line that differs."""
        before = ast.unparse(self.statement).splitlines()
        with self.made():
            after = ast.unparse(self.new if isinstance(self.new, ast.stmt) else self.statement).splitlines()
        differing = ((a, b) for a, b in zip(before, after) if a != b)
        return _excerpts(*next(differing, (before[-1], after[-1])))


def _excerpts(one: str, other: str, width: int = 110) -> tuple[str, str]:
    """Of two long lines the part in which they differ."""
    common = len(os.path.commonprefix([one, other]))
    begin = max(0, common - width // 2) if max(len(one), len(other)) > width else 0
    return one.strip()[begin : begin + width], other.strip()[begin : begin + width]


def mutants(tree: ast.Module) -> Iterator[Mutant]:
    yield from _below(tree, None, None)


def _below(parent: ast.AST, statement: ast.stmt | None, function: int | None) -> Iterator[Mutant]:
    for field, value in ast.iter_fields(parent):
        children = [(None, value)] if isinstance(value, ast.AST) else list(enumerate(value)) if isinstance(value, list) else []
        if _is_a_type_s(parent, field):
            continue
        for index, child in children:
            if not isinstance(child, ast.AST):
                continue
            inside = function
            if isinstance(parent, FUNCTIONS) and field == "body":
                inside = None if _is_cached(parent) else min(n.lineno for n in (parent, *parent.decorator_list))
            within = child if isinstance(child, ast.stmt) else statement
            if within is not None and hasattr(child, "lineno"):
                for new in instead(child, parent, field):
                    fixed = ast.fix_missing_locations(ast.copy_location(new, child))
                    yield Mutant(parent, field, index, fixed, child.lineno, within, inside)
            yield from _below(child, within, inside)


def _is_a_type_s(parent: ast.AST, field: str) -> bool:
    """Annotations but for those of a record's fields, and what decorators and classes are told: frozen=True."""
    if isinstance(parent, (*FUNCTIONS, ast.ClassDef, ast.arg)):
        return field in ("annotation", "returns", "decorator_list", "keywords", "bases")
    return False


def _is_cached(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Who calls it first is not all that need it."""
    return any("cache" in ast.unparse(decorator) for decorator in function.decorator_list)


def _like(node: ast.AST, **fields: object) -> Any:
    new = copy.copy(node)
    for field, value in fields.items():
        setattr(new, field, value)
    return new


def instead(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    if field in ("test", "ifs") and isinstance(parent, (ast.If, ast.IfExp, ast.comprehension)):
        yield from (ast.Constant(value) for value in (True, False))
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield _like(node, ops=[*ops[:i], SWAPPED[type(op)](), *ops[i + 1 :]])
        case ast.BoolOp(op=op, values=values):
            yield _like(node, op=SWAPPED[type(op)]())
            for i in range(len(values)):
                yield _like(node, values=[*values[:i], ast.Constant(isinstance(op, ast.And)), *values[i + 1 :]])
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right) if not (_is_text(left) or _is_text(right)):
            yield _like(node, op=SWAPPED[type(op)]())
        case ast.AugAssign(op=ast.Add() | ast.Sub() as op, value=value) if not _is_text(value):
            yield _like(node, op=SWAPPED[type(op)]())
        case ast.Call(func=ast.Name(id="min" | "max" as name) as func):
            yield _like(node, func=_like(func, id="max" if name == "min" else "min"))
        case ast.Set(elts=elts) | ast.Tuple(elts=elts, ctx=ast.Load()) if _is_collection(node, parent, field):
            yield from (_without(node, elts, i) for i in range(len(elts)))
        case ast.Constant(value=value):
            yield from _constants(value, parent, field)
    match node:
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=value) if not isinstance(value, ast.Constant):
            yield ast.Pass()
        case ast.Assign(targets=[target]) | ast.AugAssign(target=target) if _is_of_self(target):
            yield ast.Pass()
        case ast.AnnAssign(target=target, value=ast.expr()) if _is_of_self(target):
            yield ast.Pass()


def _without(node: ast.AST, elts: list[ast.expr], i: int) -> ast.AST:
    rest = [*elts[:i], *elts[i + 1 :]]
    return _like(node, elts=rest) if rest or isinstance(node, ast.Tuple) else ast.Call(ast.Name("set", ast.Load()), [], [])


def _constants(value: object, parent: ast.AST, field: str) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif value and isinstance(value, (str, bytes)):
        compared = isinstance(parent, (ast.Compare, ast.MatchValue))
        if compared or isinstance(parent, ast.Call) and getattr(parent.func, "attr", "") in COMPARING and field == "args":
            yield ast.Constant(value[:0])


def _is_text(node: ast.expr) -> bool:
    """Of what is joined: a minus there would be an error of type."""
    return (
        isinstance(node, (ast.JoinedStr, ast.Tuple, ast.List, ast.Set))
        or isinstance(node, ast.Constant)
        and isinstance(node.value, (str, bytes))
        or isinstance(node, ast.BinOp)
        and (_is_text(node.left) or _is_text(node.right))
    )


def _is_collection(node: ast.AST, parent: ast.AST, field: str) -> bool:
    """Tell a tuple that means several of a kind from one value of several parts."""
    match parent:
        case ast.Compare(ops=ops):
            return all(isinstance(op, (ast.In, ast.NotIn)) for op in ops) and field == "comparators"
        case ast.Assign(targets=[ast.Tuple()]) | ast.Return() | ast.Yield() | ast.Subscript() | ast.Tuple() | ast.List():
            return isinstance(node, ast.Set)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp() | ast.Dict() | ast.IfExp() | ast.Lambda():
            return isinstance(node, ast.Set)
    return True


def _is_of_self(target: ast.expr) -> bool:
    """self.x, self.x.y, self.x[key]."""
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
        if isinstance(target, ast.Name) and target.id == "self":
            return True
    return False


# Which tests concern what.


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def path_of(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imported(name: str) -> frozenset[str]:
    """Modules of the core and of the tests that a module imports itself, with the packages they are in."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path_of(name).read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    modules = {name for name in found - {HUBS} if name.startswith(("agentctl.core.", "tests.")) and path_of(name).is_file()}
    return frozenset(".".join(name.split(".")[:n]) for name in modules for n in range(2, name.count(".") + 2))


@cache
def reached(name: str) -> frozenset[str]:
    """All that a module imports, be it through others."""
    found, todo = {name}, [name]
    while todo:
        new = imported(todo.pop()) - found
        found |= new
        todo += new
    return frozenset(found)


def test_files(modules: Sequence[str]) -> list[str]:
    """Those that concern one of the modules."""
    files = [path for folder in ("unit", "property") for path in sorted((ROOT / "tests" / folder).glob("test_*.py"))]
    return [str(path.relative_to(ROOT)) for path in files if not reached(name_of(path)).isdisjoint(modules)]


# Running them.


class Mutated(importlib.machinery.SourceFileLoader):
    """Loads one module from the code that it is given; first of all finders."""

    def __init__(self, name: str, code: types.CodeType) -> None:
        super().__init__(name, str(path_of(name)))
        self.code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> types.CodeType:
        return self.code


class Chosen:
    """A plugin of pytest: these tests only, in this order; how long each takes, and what it calls. Slower ones are skipped."""

    def __init__(self, tests: Sequence[str] | None, traced: bool, slowest: float) -> None:
        self.tests, self.traced, self.slowest = tests, traced, slowest
        self.left_out, self.late = 0, False
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, list[tuple[str, int]]] = {}
        self.now: set[types.CodeType] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.told("")
        if self.tests is not None:
            found = {item.nodeid: item for item in items}
            items[:] = [found[test] for test in self.tests]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        begun, self.late = time.process_time(), False
        signal.setitimer(signal.ITIMER_PROF, self.slowest)
        try:
            yield
            self.seconds[item.nodeid] = time.process_time() - begun
        except BaseException:
            if not self.late:
                raise
            self.left_out += 1
            pytest.skip("too slow")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def too_slow(self, number: int, frame: object) -> None:
        """End the test; whatever becomes of this error on its way out."""
        self.late = True
        raise TimeoutError

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.told(nodeid)

    def told(self, test: str) -> None:
        if self.traced:
            core = str(ROOT / "agentctl" / "core")
            now, self.now = self.now, set()
            self.calls[test] = [(c.co_filename, c.co_firstlineno) for c in now if c.co_filename.startswith(core)]

    def called(self, frame: types.FrameType, event: str, argument: object) -> None:
        self.now.add(frame.f_code)


@dataclass
class Outcome:
    status: int
    """Of pytest; negative if the process was killed."""
    said: str
    seconds: dict[str, float]
    calls: dict[str, list[tuple[str, int]]]
    libraries: list[str]
    left_out: int


def run(files: list[str], plugin: Chosen, finder: Mutated | None = None, limit: float = 3600) -> Outcome:
    """Run pytest in a forked process of its own."""
    with tempfile.TemporaryDirectory(prefix="agentctl-mutants-") as folder:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.setsid()
            act: Callable[[], int] = lambda: _tested(files, plugin, folder, finder, limit)
            _leave(act)
        status = _waited(child, PATIENCE * limit)
        answer, said = Path(folder, "answer"), Path(folder, "said").read_text(errors="replace")
        measured = json.loads(answer.read_text()) if answer.exists() else ({}, {}, [], 0)
        return Outcome(status, said, *measured)


def _leave(act: Callable[[], int]) -> None:
    status = 99
    try:
        status = act()
    finally:
        os._exit(status)


def _tested(files: list[str], plugin: Chosen, folder: str, finder: Mutated | None, limit: float) -> int:
    output = os.open(os.path.join(folder, "said"), os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(ROOT)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(limit), ceil(limit)))
    import hypothesis

    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    checks = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=phases, suppress_health_check=checks
    )
    hypothesis.settings.load_profile("mutants")
    signal.signal(signal.SIGPROF, plugin.too_slow)
    for name in [name for name in sys.modules if name.split(".")[0] == "agentctl"]:  # `bench.common` imports some of it.
        del sys.modules[name]
    if finder is not None:
        sys.meta_path.insert(0, finder)
    if plugin.traced:
        sys.settrace(plugin.called)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-n", "0", "--tb=short", f"--basetemp={folder}/tests"]
    status = int(pytest.main([*options, *files], plugins=[plugin]))
    sys.settrace(None)
    if finder is None:
        libraries = [name for name in sys.modules if name.split(".")[0] in WARM]
        Path(folder, "answer").write_text(json.dumps([plugin.seconds, plugin.calls, libraries, plugin.left_out]))
    return status


def _waited(child: int, limit: float) -> int:
    """Wait for the exit status of a process; it and what it started is killed after a time."""
    pidfd = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = poll.poll(limit * 1000)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status if ended else -signal.SIGKILL
    finally:
        os.close(pidfd)


class Tests:
    """The fast ones that concern some modules, and what each of them calls."""

    def __init__(self, modules: Sequence[str], slowest: float) -> None:
        self.files = test_files(modules)
        first = self.run(Chosen(None, False, slowest))
        self.seconds, self.left_out = first.seconds, first.left_out
        for name in first.libraries:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        gc.freeze()
        traced = self.run(Chosen(sorted(self.seconds, key=lambda test: self.seconds[test]), True, 0))
        self.calls = {test: {(path, line) for path, line in called} for test, called in traced.calls.items()}

    def run(self, plugin: Chosen) -> Outcome:
        outcome = run(self.files, plugin)
        if outcome.status:
            sys.exit(f"{outcome.said}\nThe tests fail without a mutant.")
        return outcome

    def concerning(self, module: str, function: int | None) -> tuple[list[str], list[str]]:
        """List the tests to run for a mutant in a function that begins at that line, the quickest first.

        Those of files that import its module themselves, and the others.
        """
        files = {file for file in self.files if module in reached(name_of(ROOT / file))}
        near = [test for test in sorted(self.seconds, key=lambda test: self.seconds[test]) if test.split("::")[0] in files]
        where = (str(path_of(module)), function or 0)
        if function is not None and where not in self.calls[""]:
            near = [test for test in near if where in self.calls.get(test, ())]
        direct = {file for file in files if module in imported(name_of(ROOT / file))}
        return [t for t in near if t.split("::")[0] in direct], [t for t in near if t.split("::")[0] not in direct]


def survives(mutant: Mutant, module: str, tree: ast.Module, tests: Tests) -> tuple[bool, int]:
    """Whether no test fails with it, and how many there are for it."""
    with mutant.made():
        code = compile(tree, str(path_of(module)), "exec", dont_inherit=True)
    both = tests.concerning(module, mutant.function)
    for asked in filter(None, both):
        files = list(dict.fromkeys(test.split("::")[0] for test in asked))
        limit = STARTUP + PATIENCE * sum(map(tests.seconds.__getitem__, asked))
        if run(files, Chosen(asked, False, 0), Mutated(module, code), limit).status:
            return False, 0
    return True, sum(map(len, both))


def sampled(tree: ast.Module, module: str, line: int | None, sample: int | None, seed: int) -> list[Mutant]:
    """In the order of their lines; the same ones for the same seed."""
    found = [mutant for mutant in mutants(tree) if line in (None, mutant.line)]
    if sample is not None and sample < len(found):
        found = random.Random(f"{seed} {module}").sample(found, sample)
    return sorted(found, key=lambda mutant: mutant.line)


def wanted(given: list[str]) -> list[tuple[str, int | None]]:
    """Modules, by name or by path, with a line or without; a package or folder stands for all that is in it."""
    found: dict[tuple[str, int | None], None] = {}
    for one in given or ["agentctl/core"]:
        where, _, line = one.partition(":")
        path = ROOT / where if "/" in where else path_of(where)
        path = path.parent if path.name == "__init__.py" and not line else path
        if not path.exists():
            sys.exit(f"there is no {where}")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[name_of(file), int(line) if line else None] = None
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "modules", nargs="*", metavar="MODULE[:LINE]", help="by name or path; all of agentctl/core if none is given"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants of each module, drawn; else all of them")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="what the sample is drawn by")
    parser.add_argument("--slowest", type=float, default=1.0, metavar="SECONDS", help="leave out tests that take longer")
    parser.add_argument("--list", action="store_true", help="show the mutants, and run nothing")
    options = parser.parse_args()
    modules = wanted(options.modules)
    trees = {module: ast.parse(path_of(module).read_text()) for module, _ in modules}
    drawn = {(m, line): sampled(trees[m], m, line, options.sample, options.seed) for m, line in modules}
    if options.list:
        for (module, _), listed in drawn.items():
            for mutant in listed:
                show(module, mutant, "")
        return
    begun = time.monotonic()
    tests = Tests([module for (module, _), listed in drawn.items() if listed], options.slowest)
    print(
        f"{len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} seconds; {tests.left_out} slower ones left out",
        flush=True,
    )
    rows: list[tuple[object, ...]] = []
    for (module, _), listed in drawn.items():
        if listed:
            killed = sum(not survived(module, mutant, trees[module], tests) for mutant in listed)
            rows.append((module.removeprefix("agentctl."), killed, len(listed), f"{killed / len(listed):.0%}"))
            print(f"{module}: {killed} of {len(listed)} killed", flush=True)
    dead, all_of_them = (sum(int(str(row[i])) for row in rows) for i in (1, 2))
    print()
    table([*rows, ("all", dead, all_of_them, f"{dead / max(1, all_of_them):.1%}")], ("module", "killed", "of", "score"))
    print(f"{time.monotonic() - begun:.0f} seconds")


def survived(module: str, mutant: Mutant, tree: ast.Module, tests: Tests) -> bool:
    alive, asked = survives(mutant, module, tree, tests)
    if alive:
        show(module, mutant, f" survives {asked} tests" if asked else " no fast test gets there")
    return alive


def show(module: str, mutant: Mutant, what: str) -> None:
    before, after = mutant.shown()
    print(f"{path_of(module).relative_to(ROOT)}:{mutant.line}:{what}\n  - {before}\n  + {after}", flush=True)


if __name__ == "__main__":
    main()
