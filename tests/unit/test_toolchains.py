"""How a repository is built and tested, told from its files."""

import json

import pytest

from agentctl.core.policy.policy import parse
from agentctl.core.policy.preset import filled
from agentctl.core.policy.toolchains import Proposal, projects, proposal
from tests.support.hub import ROOT

VENV = "python3 -m venv .venv && .venv/bin/pip install -q"
PYTEST = ".venv/bin/python -m pytest -q"


def package(**values):
    return json.dumps(values)


TESTED = package(scripts={"test": "jest"}, devDependencies={"jest": "1"})

ALONE = {
    # Python
    "an extra": (
        {"pyproject.toml": "[project]\n[project.optional-dependencies]\ntest = ['pytest>=8']\n"},
        PYTEST,
        f"{VENV} -e '.[test]'",
    ),
    "an extra with another name": (
        {"pyproject.toml": "[project]\n[project.optional-dependencies]\ndocs = ['furo']\nqa = ['PyTest']\n"},
        PYTEST,
        f"{VENV} -e '.[qa]'",
    ),
    "a dependency group": (
        {"pyproject.toml": "[project]\n[dependency-groups]\ndev = ['pytest']\n"},
        PYTEST,
        "python3 -m venv .venv && .venv/bin/python -m pip install -q --upgrade pip && .venv/bin/pip install -q -e . --group dev",
    ),
    "requirements": (
        {"requirements.txt": "flask\n", "requirements-dev.txt": "pytest\n", "requirements-docs.txt": "furo\n"},
        PYTEST,
        f"{VENV} -r requirements.txt -r requirements-dev.txt",
    ),
    "an old package": ({"setup.py": "setup()"}, PYTEST, f"{VENV} -e . pytest"),
    "an old package with extras": (
        {"setup.py": "setup(extras_require={\n    'test': ['pytest']})"},
        PYTEST,
        f"{VENV} -e '.[test]'",
    ),
    "settings of other tools alone": ({"pyproject.toml": "[tool.ruff]\n"}, PYTEST, f"{VENV} pytest"),
    "a test file alone": ({"a.py": ""}, PYTEST, f"{VENV} pytest"),
    "uv": (
        {"pyproject.toml": "[project]\n[dependency-groups]\ndev = ['pytest']\n", "uv.lock": ""},
        PYTEST,
        "uv sync -q --locked",
    ),
    "uv with an extra": (
        {"pyproject.toml": "[project]\n[project.optional-dependencies]\ntest = ['pytest']\n", "uv.lock": ""},
        PYTEST,
        "uv sync -q --locked --extra test",
    ),
    "uv without a lock": ({"pyproject.toml": "[tool.uv]\n"}, PYTEST, "uv sync -q && uv pip install -q pytest"),
    "Poetry": (
        {"pyproject.toml": "[tool.poetry.group.dev.dependencies]\npytest = '8'\n", "poetry.lock": ""},
        PYTEST,
        "python3 -m venv .venv && poetry install -q -n",
    ),
    "PDM": (
        {"pyproject.toml": "[tool.pdm.dev-dependencies]\ntest = ['pytest']\n"},
        PYTEST,
        "python3 -m venv .venv && pdm install -q",
    ),
    "Pipenv": (
        {"Pipfile": "[dev-packages]\npytest = '*'\n", "Pipfile.lock": ""},
        PYTEST,
        "python3 -m venv .venv && PIPENV_VENV_IN_PROJECT=1 pipenv sync --dev",
    ),
    "tox": (
        {"pyproject.toml": "[project]\n", "tox.ini": "[testenv]\ndeps = pytest\n"},
        ".venv/bin/tox run -q -e py",
        f"{VENV} tox",
    ),
    "tox beside an extra": (
        {"pyproject.toml": "[project]\n[project.optional-dependencies]\ntest = ['pytest']\n", "tox.ini": "[testenv]\n"},
        PYTEST,
        f"{VENV} -e '.[test]'",
    ),
    "nox": ({"noxfile.py": "def lint(session): ...\ndef tests(session): ...\n"}, ".venv/bin/nox -r -s tests", f"{VENV} nox"),
    "Django": (
        {"manage.py": "", "requirements.txt": "django\n"},
        ".venv/bin/python manage.py test",
        f"{VENV} -r requirements.txt",
    ),
    # Node
    "npm": ({"package.json": TESTED, "package-lock.json": "{}"}, "CI=true npm run --silent test", "npm ci --no-audit --no-fund"),
    "npm without a lock": (
        {"package.json": TESTED},
        "CI=true npm run --silent test",
        "npm install --no-package-lock --no-audit --no-fund",
    ),
    "npm that needs nothing": ({"package.json": package(scripts={"test": "node --test"})}, "CI=true npm run --silent test", ""),
    "pnpm": ({"package.json": TESTED, "pnpm-lock.yaml": ""}, "CI=true pnpm run test", "pnpm install --frozen-lockfile"),
    "yarn": ({"package.json": TESTED, "yarn.lock": ""}, "CI=true yarn run test", "yarn install --frozen-lockfile"),
    "a newer yarn": (
        {"package.json": TESTED, "yarn.lock": "", ".yarnrc.yml": ""},
        "CI=true yarn run test",
        "yarn install --immutable",
    ),
    "a manager that is named": (
        {"package.json": package(scripts={"test": "jest"}, packageManager="pnpm@9.1.0", dependencies={"a": "1"})},
        "CI=true pnpm run test",
        "pnpm install",
    ),
    "what npm init writes": (
        {"package.json": package(scripts={"test": 'echo "Error: no test specified" && exit 1'})},
        "node --test",
        "",
    ),
    "a build and no test": (
        {
            "package.json": package(scripts={"dev": "vite", "build": "vite build"}, devDependencies={"vite": "6"}),
            "package-lock.json": "{}",
        },
        "CI=true npm run --silent build",
        "npm ci --no-audit --no-fund",
    ),
    # others
    "Rust": ({"Cargo.toml": "[package]\n", "Cargo.lock": ""}, "cargo test --quiet --locked", ""),
    "a workspace in Rust": (
        {"Cargo.toml": "[workspace]\n", "crates/one/Cargo.toml": "[package]\n"},
        "cargo test --quiet --workspace",
        "",
    ),
    "Go": ({"go.mod": ""}, "go vet ./... && go test ./...", ""),
    "a workspace in Go": ({"go.work": "go 1.22\n\nuse (\n\t./api\n\t./cli\n)\n"}, "go test ./api/... ./cli/...", ""),
    "Maven": ({"pom.xml": ""}, "mvn -q -B test", ""),
    "a Maven of its own": ({"pom.xml": "", "mvnw": ""}, "./mvnw -q -B test", ""),
    "Gradle": ({"build.gradle.kts": "", "gradlew": ""}, "./gradlew -q --no-daemon test", ""),
    "CMake": (
        {"CMakeLists.txt": "", "Makefile": "test:\n"},
        "cmake -S . -B build && cmake --build build --parallel && ctest --test-dir build --output-on-failure",
        "",
    ),
    "CMake beside a folder called build": (
        {"CMakeLists.txt": "", "build/notes": ""},
        "cmake -S . -B _build && cmake --build _build --parallel && ctest --test-dir _build --output-on-failure",
        "",
    ),
    "Autotools": ({"configure.ac": ""}, "autoreconf -fi && ./configure -q && make -s && make -s check", ""),
    "Meson": ({"meson.build": ""}, "{ [ -d build ] || meson setup build; } && meson test -C build --print-errorlogs", ""),
    ".NET": ({"One.sln": "", "src/One.csproj": ""}, "dotnet test", ""),
    "make": ({"Makefile": "CC := cc\nall: a\n\ncheck: all\n\t./a\n"}, "make check", ""),
    "make without a test": ({"Makefile": "all:\n\tcc a.c\n"}, "make", ""),
    "just": ({"justfile": "build:\n  true\ntest *ARGS: build\n  true\n"}, "just test", ""),
}
"""For each kind of repository: its files, and the gate and the set-up that its policy begins with."""


def found(files):
    return projects(files, files.get)


@pytest.mark.parametrize("kind", ALONE)
def test_a_repository_with_one_project(kind):
    files, gate, setup = ALONE[kind]
    tests = {"tests/test_a.py": ""} if ".venv" in gate else {}
    made = proposal(found(files | tests))
    assert made.gates == (("test", gate),)
    assert made.setup == setup
    assert set(made.setup_on) <= set(files) and bool(made.setup_on) == bool(setup and set(files) != {"a.py"})


@pytest.mark.parametrize("kind", ALONE)
def test_what_a_setup_made_is_kept_and_so_is_what_a_build_can_go_on_from(kind):
    files, _, setup = ALONE[kind]
    made = proposal(found(files | {"tests/test_a.py": ""} if ".venv" in setup else files))
    wanted = {
        ".venv": ".venv" in setup or "uv sync" in setup,
        "node_modules": "install" in setup and "pip" not in setup or "npm ci" in setup,
    }
    for folder, due in wanted.items():
        if "poetry" not in setup and "pdm" not in setup:
            assert (folder in made.keep) == due


def test_without_a_test_file_a_python_gate_that_finds_no_test_passes():
    assert proposal(found({"pyproject.toml": "[project]\n"})).gates == (("test", f"{PYTEST} || [ $? -eq 5 ]"),)


def test_two_languages_at_the_top_are_two_gates():
    files = {"pyproject.toml": "[project]\n", "tests/test_a.py": "", "package.json": TESTED, "package-lock.json": "{}"}
    made = proposal(found(files))
    assert made.gates == (("python", PYTEST), ("node", "CI=true npm run --silent test"))
    assert made.setup == f"({VENV} -e . pytest) && (npm ci --no-audit --no-fund)"
    assert made.keep == (".venv", "node_modules")


def test_what_only_serves_others_is_no_project():
    files = {"pyproject.toml": "[project]\n", "tests/test_a.py": "", "package.json": package(devDependencies={"prettier": "3"})}
    assert [project.language for project in found(files)] == ["Python"]


def test_folders_are_looked_into_where_nothing_is_at_the_top():
    files = {
        "api/requirements.txt": "pytest\n",
        "api/test_api.py": "",
        "web/package.json": TESTED,
        "web/package-lock.json": "{}",
        "docs/package.json": TESTED,
        "web/node_modules/x/package.json": TESTED,
    }
    made = proposal(found(files))
    assert made.gates == (("api", f"(cd api && {PYTEST})"), ("web", "(cd web && CI=true npm run --silent test)"))
    assert made.setup == f"(cd api && {VENV} -r requirements.txt) && (cd web && npm ci --no-audit --no-fund)"
    assert made.setup_on == ("api/requirements.txt", "web/package.json", "web/package-lock.json")


def test_a_project_stands_for_those_of_its_language_below_it():
    workspace = {"package.json": package(workspaces=["packages/*"], scripts={"test": "x"}), "packages/a/package.json": TESTED}
    assert [project.folder for project in found(workspace)] == [""]
    assert [project.folder for project in found(workspace | {"backend/go.mod": ""})] == ["", "backend"]


def test_a_makefile_with_tests_stands_for_all_below_it():
    assert [project.gate for project in found({"Makefile": "test:\n", "api/go.mod": "", "web/package.json": TESTED})] == [
        "make test"
    ]


def test_nothing_is_found_where_nothing_is():
    assert found({"README.md": "", "notes/a.txt": ""}) == ()


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"scripts": [1], "packageManager": 5, "workspaces": {}}'])
def test_a_manifest_that_cannot_be_read_is_no_trouble(text):
    assert [project.language for project in found({"package.json": text})] == ["Node"]
    assert [project.language for project in found({"pyproject.toml": text, "test_a.py": ""})] == ["Python"]


@pytest.mark.parametrize("name", ["x'; touch y; '", "--help", "a b", "$(id)"])
def test_a_name_that_is_no_word_is_not_put_into_a_command(name):
    for table in ("project.optional-dependencies", "dependency-groups"):
        made = proposal(found({"pyproject.toml": f"[project]\n[{table}]\n{json.dumps(name)} = ['pytest']\n", "test_a.py": ""}))
        assert made.setup == f"{VENV} -e . pytest"


@pytest.mark.parametrize("preset", ["default", "solo", "strict"])
def test_every_preset_takes_a_proposal(preset):
    text = (ROOT / "policies" / f"{preset}.yaml").read_text()
    made = Proposal((("api", "echo 'é' \\ \"x\" # y"), ("web", "b: c")), "npm ci", ("package.json", "**/x"), ("node_modules",))
    policy = parse(filled(text, "p", "develop", made, ("Makefile",), "origin"), "p")
    assert [(gate.name, gate.run) for gate in policy.gates] == list(made.gates)
    assert len({gate.timeout for gate in policy.gates}) == 1
    assert (policy.slot.setup, policy.slot.setup_on, policy.slot.keep) == (made.setup, made.setup_on, made.keep)
    assert (policy.agents.setup, policy.agents.setup_on) == (made.setup, made.setup_on)
    assert (policy.trunk, policy.remote) == ("develop", "origin") and "Makefile" in policy.protect


@pytest.mark.parametrize("preset", ["default", "solo", "strict"])
def test_a_proposal_of_a_gate_alone_leaves_the_rest_of_a_preset_as_it_is(preset):
    text = (ROOT / "policies" / f"{preset}.yaml").read_text()
    assert filled(text, "p", "main", Proposal((("test", "true"),))) == text.replace("@GATE@", '"true"')
