"""How a repository is built and tested, told from its files.

`init` begins a policy with what is found here and tries it, so a guess may be wrong, but not silent. A tool chain is told
by the files that its own tools make or ask for. Where several can be told in one folder, all that have tests count; a
makefile or the like, which may call anything, counts only where none of them has.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from agentctl.core.policy import python_projects
from agentctl.core.policy.project import Files, Project, of_json

MOST = 8
"""The most projects that one policy begins with."""
DEPTH = 2
ASIDE = frozenset(
    "bench benchmark benchmarks demo demos doc docs example examples fixtures node_modules samples spec template templates "
    "test testdata tests third_party thirdparty vendor".split()
)
"""Folders that hold projects which are no part of the work."""
PLACEHOLDER = "no test specified"
"""What `npm init` writes for a test."""


def projects(paths: Collection[str], read: Callable[[str], str | None]) -> tuple[Project, ...]:
    """Return the projects of a repository with files at `paths`, those at the top first.

    A project stands for what lies below it of the same language, and a makefile at the top for all.
    """
    found = _at(Files("", paths, read))
    if any(project.language == ANY for project in found):
        return found
    for folder in _folders(paths):
        for project in _at(Files(folder, paths, read)):
            above = [p for p in found if p.language == project.language and (not p.folder or folder.startswith(p.folder + "/"))]
            if not above:
                found += (project,)
    return found


def _folders(paths: Collection[str]) -> list[str]:
    """Return the folders that are not at the top and may hold a project, from the top down."""
    found = set()
    for path in paths:
        parts = path.split("/")[:-1][:DEPTH]
        for n, name in enumerate(parts, 1):
            if name in ASIDE or name.startswith("."):
                break
            found.add("/".join(parts[:n]))
    return sorted(found, key=lambda folder: (folder.count("/"), folder))


def _at(here: Files) -> tuple[Project, ...]:
    found = tuple(project for recognise in RECOGNISED if (project := recognise(here)))
    # What only serves the others, such as a package.json with a formatter in it, has no tests of its own.
    if tested := tuple(project for project in found if project.tested):
        return tested
    runner = _runner(here)
    if runner and (runner.tested or not found and not here.folder):
        return (runner,)
    return found


def _node(here: Files) -> Project | None:
    if not here.has("package.json"):
        return None
    package = of_json(here.text("package.json"))
    scripts = {name: line for name, line in here.table(package, "scripts").items() if isinstance(line, str)}
    manager, install, lock = _node_manager(here, str(package.get("packageManager", "")))
    run = {"npm": "npm run --silent", "yarn": "yarn run"}.get(manager, f"{manager} run")
    tested = "test" in scripts and PLACEHOLDER not in scripts["test"]
    other = next((name for name in ("build", "typecheck", "check", "lint") if name in scripts), "")
    if tested:
        gate, because = f"CI=true {run} test", "package.json has a script `test`"
    elif other:
        gate, because = f"CI=true {run} {other}", f"package.json has no script `test`, but `{other}`"
    else:
        gate, because = "node --test", "package.json has no script `test`"
    needed = lock or package.get("workspaces") or any(package.get(key) for key in ("dependencies", "devDependencies"))
    manifests = ("package.json", *(("**/package.json",) if package.get("workspaces") or here.has("pnpm-workspace.yaml") else ()))
    return Project(
        "Node",
        here.folder,
        because + (f", and {lock} is there" if lock else ""),
        gate,
        install if needed else "",
        (*manifests, *((lock,) if lock else ())) if needed else (),
        ("node_modules",) if needed else (),
        tested,
    )


def _node_manager(here: Files, named: str) -> tuple[str, str, str]:
    """Return (package manager, the command that installs what is needed, lock file or nothing)."""
    locks = {
        "pnpm-lock.yaml": "pnpm",
        "yarn.lock": "yarn",
        "bun.lock": "bun",
        "bun.lockb": "bun",
        "package-lock.json": "npm",
        "npm-shrinkwrap.json": "npm",
    }
    lock = next((name for name in locks if here.has(name)), "")
    manager = locks[lock] if lock else named.partition("@")[0] if named.partition("@")[0] in locks.values() else "npm"
    if manager == "npm":
        quiet = "--no-audit --no-fund"
        return manager, f"npm ci {quiet}" if lock else f"npm install --no-package-lock {quiet}", lock
    berry = manager == "yarn" and (here.has(".yarnrc.yml") or bool(re.match(r"yarn@[2-9]", named)))
    frozen = "--immutable" if berry else "--frozen-lockfile"
    return (
        manager,
        f"{manager} install {frozen if lock else '--no-lockfile' if manager == 'yarn' and not berry else ''}".strip(),
        lock,
    )


def _rust(here: Files) -> Project | None:
    if not here.has("Cargo.toml"):
        return None
    whole = " --workspace" if re.search(r"(?m)^\[workspace\]", here.text("Cargo.toml")) else ""
    locked = " --locked" if here.has("Cargo.lock") else ""
    return Project("Rust", here.folder, "Cargo.toml is there", f"cargo test --quiet{whole}{locked}", keep=("target",))


def _go(here: Files) -> Project | None:
    if here.has("go.mod"):
        return Project("Go", here.folder, "go.mod is there", "go vet ./... && go test ./...")
    if here.has("go.work"):
        uses = re.findall(r"(?m)^(?:use)?\s+\(?\s*(\.[\w./-]*)", here.text("go.work"))
        return Project("Go", here.folder, "go.work is there", f"go test {' '.join(f'{use}/...' for use in uses) or './...'}")
    return None


def _java(here: Files) -> Project | None:
    if here.has("pom.xml"):
        return Project("Java", here.folder, "pom.xml is there", f"{'./mvnw' if here.has('mvnw') else 'mvn'} -q -B test")
    built = next(
        (name for name in ("settings.gradle.kts", "settings.gradle", "build.gradle.kts", "build.gradle") if here.has(name)), ""
    )
    if built:
        gradle = "./gradlew" if here.has("gradlew") else "gradle"
        return Project("Java", here.folder, f"{built} is there", f"{gradle} -q --no-daemon test", keep=(".gradle", "build"))
    return None


def _native(here: Files) -> Project | None:
    build = next(name for name in ("build", "_build", "build-gate") if not here.below(name))
    if here.has("CMakeLists.txt"):
        steps = f"cmake -S . -B {build} && cmake --build {build} --parallel && ctest --test-dir {build} --output-on-failure"
        return Project("C or C++", here.folder, "CMakeLists.txt is there", steps, keep=(build,))
    if here.has("meson.build"):
        steps = f"{{ [ -d {build} ] || meson setup {build}; }} && meson test -C {build} --print-errorlogs"
        return Project("C or C++", here.folder, "meson.build is there", steps, keep=(build,))
    if here.has("configure.ac"):
        made = "" if here.has("configure") else "autoreconf -fi && "
        return Project("C or C++", here.folder, "configure.ac is there", f"{made}./configure -q && make -s && make -s check")
    return None


def _dotnet(here: Files) -> Project | None:
    for ending in (".sln", ".slnx", ".csproj", ".fsproj", ".vbproj"):
        if named := sorted(name for name in here.names if name.endswith(ending)):
            what = "" if len(named) == 1 else f" {shlex.quote(named[0])}"
            return Project(".NET", here.folder, f"{named[0]} is there", f"dotnet test{what}")
    return None


def _others(here: Files) -> Project | None:
    """Recognise the tool chains whose one command needs no more than its file."""
    for name, language, gate, setup, keep in (
        ("deno.json", "Deno", "deno test -A", "", ()),
        ("mix.exs", "Elixir", "mix test", "mix deps.get", ("deps", "_build")),
        (
            "Gemfile",
            "Ruby",
            "bundle exec rake",
            "bundle config set --local path vendor/bundle && bundle install",
            ("vendor", ".bundle"),
        ),
        ("composer.json", "PHP", "composer test", "composer install -q -n", ("vendor",)),
        ("Package.swift", "Swift", "swift test -q", "", (".build",)),
        ("build.zig", "Zig", "zig build test", "", (".zig-cache",)),
    ):
        if here.has(name):
            if name == "Gemfile" and here.below("spec") and not here.has("Rakefile"):
                gate = "bundle exec rspec"
            on = tuple(n for n in (name, "mix.lock", "Gemfile.lock", "composer.lock") if here.has(n)) if setup else ()
            tested = name != "Gemfile" or here.has("Rakefile") or here.below("spec")
            return Project(language, here.folder, f"{name} is there", gate, setup, on, keep, tested)
    return None


ANY = "any"
"""The language of what may be of any."""


def _runner(here: Files) -> Project | None:
    """Recognise a program that runs what people named in a file of its own, such as make."""
    for names, program in (
        (("GNUmakefile", "makefile", "Makefile"), "make"),
        (("justfile", "Justfile", ".justfile"), "just"),
        (("Taskfile.yml", "Taskfile.yaml"), "task"),
    ):
        if name := next((name for name in names if here.has(name)), ""):
            targets = set(re.findall(r"(?m)^ *([\w.-]+)(?: [^:=\n]*)?:(?!=)", here.text(name)))
            wanted = next((target for target in ("test", "check", "tests", "ci") if target in targets), "")
            because = f"{name} has a target `{wanted}`" if wanted else f"{name} has no target `test` or `check`"
            return Project(ANY, here.folder, because, f"{program} {wanted}".strip(), tested=bool(wanted))
    return None


RECOGNISED: tuple[Callable[[Files], Project | None], ...] = (
    python_projects.recognise,
    _node,
    _rust,
    _go,
    _java,
    _native,
    _dotnet,
    _others,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a policy begins with: commands for the top of a worktree."""

    gates: tuple[tuple[str, str], ...]
    """The name and the command of each gate."""
    setup: str = ""
    setup_on: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def proposal(found: Collection[Project]) -> Proposal:
    """Return what a policy for these projects begins with. One gate is called `test`, several by folder or language."""
    names = ["test"] if len(found) == 1 else list(_names(found))
    setups = [_in(p, p.setup) for p in found if p.setup]
    return Proposal(
        tuple((name, _in(project, project.gate)) for name, project in zip(names, found, strict=True)),
        " && ".join(setups) if len(setups) < 2 else " && ".join(s if s.startswith("(") else f"({s})" for s in setups),
        tuple(dict.fromkeys(posixpath.join(p.folder, name) for p in found for name in p.setup_on)),
        tuple(dict.fromkeys(name for p in found for name in p.keep)),
    )


def _names(found: Collection[Project]) -> Iterator[str]:
    folders = [project.folder for project in found]
    for project in found:
        alone = project.folder and folders.count(project.folder) == 1
        language = re.sub(r"\W+", "-", project.language.lower()).strip("-").replace("c-or-c", "native")
        yield (
            re.sub(r"[^\w.-]", "-", project.folder.replace("/", "-"))
            if alone
            else "-".join(filter(None, (project.folder.replace("/", "-"), language)))
        )


def _in(project: Project, command: str) -> str:
    return f"(cd {shlex.quote(project.folder)} && {command})" if project.folder else command
