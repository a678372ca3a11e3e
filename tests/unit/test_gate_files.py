"""Which files a gate's command is made of."""

import json

import pytest

from agentctl.core.policy.gate_files import gate_files

RUN = '#!/bin/sh\nset -eu\n. "$(dirname "$0")/lib.sh"\nsh scripts/lint.sh  # and no other\n# sh scripts/old.sh\npython3 tools/check.py --all\n'
PACKAGE = {"scripts": {"test": "node scripts/test.js && jest", "pretest": "sh scripts/lint.sh", "build": "node scripts/build.js"}}
MAKEFILE = """\
PY = python3
include mk/rules.mk
test: lint
\t@$(PY) tools/check.py
\t-$(MAKE) -C sub check
lint:
\tsh scripts/lint.sh \\
\t    --fast
"""
FILES = {
    "Makefile": MAKEFILE,
    "mk/rules.mk": "",
    "sub/Makefile": "check:\n\tsh check.sh\n",
    "sub/check.sh": "",
    "ci/run.sh": RUN,
    "ci/lib.sh": "",
    "scripts/lint.sh": "",
    "scripts/old.sh": "",
    "scripts/test.js": "",
    "scripts/build.js": "",
    "tools/check.py": "",
    "tools/__main__.py": "",
    "check": "#!/bin/bash\nexec ./ci/run.sh\n",
    "check.sh": "exit 0\n",
    "package.json": json.dumps(PACKAGE),
    "jest.config.js": "",
    "pytest.ini": "",
    "tox.ini": "[testenv]\ncommands = sh scripts/lint.sh\n",
    "conftest.py": "",
    "pyproject.toml": "",
    "Cargo.toml": "",
    "tests/test_a.py": "",
    "README.md": "",
    "gradlew": "#!/bin/sh\n",
    "build.gradle": "",
    "gradle/wrapper/gradle-wrapper.properties": "",
    "docker-compose.test.yml": "",
    "Dockerfile": "",
    "with space/run.sh": "",
    "odd[1].sh": "",
    "script.py": "#!/usr/bin/python3\nimport check.sh\n",
    ".github/ci.yml": "",
    "lint.toml": "",
    "run": "exit 0\n",
}

MAKES = ("GNUmakefile", "Makefile", "makefile")
"""Each that make would read before the one that is there, if a change added it."""
SUB_MAKES = tuple("sub/" + name for name in MAKES)

CASES = [
    ("true", [], []),
    ("make test", [*MAKES, "mk/rules.mk", "scripts/lint.sh", *SUB_MAKES, "tools/check.py"], []),
    ("make -C sub check", [*SUB_MAKES, "sub/check.sh"], []),
    ("cd sub && make check", [*SUB_MAKES, "sub/check.sh"], []),
    ("make -f mk/rules.mk", ["mk/rules.mk"], []),
    ("sh check.sh", ["check.sh"], []),
    ("sh -eu ./check.sh --all README.md", ["check.sh"], []),
    ("sh ci/run.sh", ["ci/lib.sh", "ci/run.sh", "scripts/lint.sh", "tools/check.py"], []),
    ("./check", ["check", "ci/run.sh"], []),
    ("A=1 B='x y' timeout -k 5 60 nice -n 10 env C=2 ./check.sh", ["check.sh"], []),
    ("if test -e README.md; then sh check.sh; fi", ["check.sh"], []),
    ("(cd sub && sh check.sh) || exit 1", ["sub/check.sh"], []),
    ("bash -c 'set -e; sh check.sh'", ["check.sh"], []),
    ("npm test --silent", ["scripts/lint.sh", "scripts/test.js", "jest.config.js"], ["package.json"]),
    ("npm run build", ["scripts/build.js", "scripts/lint.sh", "scripts/test.js", "jest.config.js"], ["package.json"]),
    ("npx jest", ["jest.config.js"], []),
    ("python -m pytest -q", ["pytest.ini"], ["pyproject.toml"]),
    ("pytest tests/test_a.py", ["pytest.ini"], ["pyproject.toml"]),
    ("uv run pytest", ["pytest.ini"], ["pyproject.toml"]),
    ("coverage run -m pytest", ["pytest.ini"], ["pyproject.toml"]),
    ("python3.11 -m tools", ["tools/__main__.py"], []),
    ("python -m tools.check", ["tools/check.py"], []),
    ("python3 -W error tools/check.py", [], []),
    ("python3 script.py", ["script.py"], []),
    ("tox -e py", ["scripts/lint.sh", "tox.ini"], []),
    ("cargo test --quiet", [], ["Cargo.toml"]),
    ("./gradlew test", ["gradle/wrapper/gradle-wrapper.properties", "gradlew"], []),
    ("docker compose -f docker-compose.test.yml run t", ["docker-compose.test.yml"], []),
    ("docker build .", ["Dockerfile"], []),
    ("act -W .github/ci.yml", [".github/ci.yml"], []),
    ("sh run", ["run"], []),
    ("deno run -A scripts/test.js", ["scripts/test.js"], []),
    ("lint --config=lint.toml", ["lint.toml"], []),
    ("sh 'with space/run.sh'", ["with space/run.sh"], []),
    ("sh 'odd[1].sh'", [], []),
    ("sh '", [], []),
    ("sh ../check.sh /etc/passwd", [], []),
    ("", [], []),
]


@pytest.mark.parametrize("command, protect, manifests", CASES, ids=[case[0] for case in CASES])
def test_what_a_gate_calls(command, protect, manifests):
    assert gate_files(command, FILES.get) == (tuple(sorted(protect)), tuple(manifests))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scripts": 1}', '{"scripts": {"test": 1}}', "\x00\udcff'\"$(("])
def test_files_of_any_content_do_no_harm(text):
    for name in ("package.json", "Makefile", "check", "tox.ini"):
        command = {"package.json": "npm test", "Makefile": "make", "check": "./check", "tox.ini": "tox"}[name]
        protect, manifests = gate_files(command, {name: text}.get)
        assert [*protect, *manifests] == ([*MAKES] if name == "Makefile" else [name])


@pytest.mark.parametrize("wrapper", "env time exec command nohup nice sudo xvfb-run npx".split())
def test_what_a_wrapper_runs(wrapper):
    assert gate_files(f"{wrapper} sh check.sh", FILES.get) == (("check.sh",), ())


@pytest.mark.parametrize(
    "wrapper", ["timeout 5", "uv run", "poetry run", "pdm run", "hatch run", "pipenv run", "rye run", "bundle exec"]
)
def test_what_a_wrapper_with_a_word_of_its_own_runs(wrapper):
    assert gate_files(f"{wrapper} sh check.sh", FILES.get) == (("check.sh",), ())


def test_a_name_with_odd_characters_is_no_variable():
    assert gate_files("sh 'od)d/check.sh'", FILES.get) == ((), ())
    assert gate_files('sh "$(here)/check.sh"', FILES.get) == (("check.sh",), ())


def test_only_what_is_a_shell_script_is_read_as_one():
    files = {"list.txt": "sh check.sh\n", "tool": "sh check.sh\n", "run.sh": "sh check.sh\n", "check.sh": ""}
    assert gate_files("act -W list.txt", files.get)[0] in ((), ("list.txt",))
    for script in ("tool", "run.sh"):
        assert gate_files(f"sh {script}", files.get) == (tuple(sorted(("check.sh", script))), ())
    assert gate_files("node list.txt", files.get) == (("list.txt",), ())
