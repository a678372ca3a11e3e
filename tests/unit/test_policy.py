import dataclasses
import json
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest

from agentctl.commands import policy as command
from agentctl.core.policy import roles
from agentctl.core.policy.policy import (
    COVERED,
    LATER,
    SCHEMA,
    ApprovalRule,
    Budget,
    Gate,
    Limits,
    Policy,
    Slot,
    duration,
    fingerprint,
    in_parts,
    parse,
    parts,
    size,
)
from agentctl.core.text.yaml_document import Problems
from agentctl.errors import NotFound

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = "version: 1\ngates:\n  - name: test\n    run: make test\n"


def problems(text):
    with pytest.raises(Problems) as caught:
        parse(text, "p.yaml")
    return str(caught.value).splitlines()


def keys():
    """Every key as a person names it: version, gates.run, queue.slots, ..."""
    for key, part in SCHEMA["properties"].items():
        yield key
        nested = part.get("items", part).get("properties", {})
        yield from (f"{key}.{name}" for name in nested)


def described(schema):
    yield schema
    for part in schema.get("properties", {}).values():
        yield from described(part)
    if "properties" in schema.get("items", {}):
        yield from described(schema["items"])


def test_the_defaults():
    policy = parse(SMALLEST, "p.yaml")
    assert (policy.version, policy.trunk, policy.strategy) == (1, "main", "squash")
    assert dataclasses.astuple(policy.gates[0]) == ("test", "make test", 600.0, {}, (), ())
    assert dataclasses.astuple(policy.slot) == ("", (), (), ())
    assert dataclasses.astuple(policy.queue) == (2, 64, "strict", 2)
    want = (
        "command",
        (),
        4,
        "",
        (),
        1800.0,
        3,
        "commit",
        "salvage",
        30.0,
        {},
        600.0,
        (),
        ((0, 0, 0, 0.0),) * 3,
        "",
        {},
        "never",
        (256 << 20, 128 << 20, 0),
        0,
        0,
        False,
    )
    assert dataclasses.astuple(policy.agents) == want
    assert policy.protect == (".agentctl/**",)
    limits = (10_000, 100 << 20, 64, 1024, 64 << 10, False, 0, 64 << 20, (), 2000, 8 << 30)
    assert dataclasses.astuple(policy.limits) == limits


def test_what_is_written_replaces_the_default():
    policy = parse(
        SMALLEST + "    timeout: 1h30m\n    env: {CI: '1'}\nslot: {keep: [.venv]}\n"
        "queue: {rejection: inference}\nagents: {silence: 90s, command: [a, '{prompt}']}\n"
        "limits: {memory: 2GiB, message: 100}\nprotect: []\n",
        "p.yaml",
    )
    assert (policy.gates[0].timeout, policy.gates[0].env) == (5400.0, {"CI": "1"})
    assert policy.slot.keep == (".venv",)
    assert (policy.queue.rejection, policy.queue.slots) == ("inference", 2)
    assert (policy.agents.silence, policy.agents.command) == (90.0, ("a", "{prompt}"))
    assert (policy.limits.memory, policy.limits.message) == (2 << 30, 100)
    assert policy.protect == ()


def test_who_has_to_approve():
    assert parse(SMALLEST, "p").approvals == ()
    text = SMALLEST + "approvals: [{paths: [src/**]}, {paths: [a, b], by: person, count: 2}, {paths: [c], by: reviewer}]\n"
    some, persons, role = parse(text, "p").approvals
    assert some == ApprovalRule(("src/**",), "anybody", 1) == ApprovalRule(("src/**",))
    assert (persons, role) == (ApprovalRule(("a", "b"), "person", 2), ApprovalRule(("c",), "reviewer"))


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        ("{by: person}", "5:13: approvals[0]: missing key 'paths'"),
        ("{paths: []}", "5:21: approvals[0].paths: expected a list of 1 or more, not an empty list"),
        ("{paths: src}", "5:21: approvals[0].paths: expected a list of 1 or more, not 'src'"),
        ("{paths: [/x]}", "5:22: approvals[0].paths[0]: expected a glob relative to the top, such as src/**"),
        ("{paths: [x], count: 0}", "5:33: approvals[0].count: expected a whole number from 1 to 100, not 0"),
        ("{paths: [x], count: true}", "5:33: approvals[0].count: expected a whole number from 1 to 100, not true"),
        ("{paths: [x], by: [person]}", "5:30: approvals[0].by: expected anybody, person or the name of a role of agents"),
        ("{paths: [x], by: a b}", "5:30: approvals[0].by: expected anybody, person or the name of a role of agents"),
        ("{paths: [x], by: persn}", "5:30: approvals[0].by: there is no role 'persn'; did you mean 'person'?"),
        ("{paths: [x], by: qa}", "5:30: approvals[0].by: there is no role 'qa'; there are worker, planner, reviewer"),
        ("{paths: [x], who: person}", "5:26: approvals[0]: unknown key 'who'"),
        ("x", "5:13: approvals[0]: expected a mapping of keys to values, not 'x'"),
    ],
)
def test_what_is_no_rule_of_approval(rule, want):
    [line] = problems(SMALLEST + f"approvals: [{rule}]\n")
    assert line.startswith("p.yaml:" + want)


def test_an_approver_may_have_a_role_of_ones_own():
    rule = "approvals: [{paths: [x], by: qa}]\n"
    assert parse(SMALLEST + "agents: {roles: {qa: {does: review}}}\n" + rule, "p").approvals[0].by == "qa"
    [line] = problems(SMALLEST + "agents: {roles: {person: {}}}\n")
    assert line == "p.yaml:5:26: agents.roles: approvals mean something else by 'person'"


def test_approvals_that_are_no_list():
    assert "approvals: expected a list, not a mapping" in problems(SMALLEST + "approvals: {paths: [x]}\n")[0]


def test_a_budget():
    policy = parse(SMALLEST + "agents: {budget: {task: {money: 2.5, tokens: 5000000}, fleet: {time: 8h}}}\n", "p.yaml")
    assert policy.agents.budget.task == Budget(money=2.5, tokens=5_000_000)
    assert (policy.agents.budget.fleet.time, policy.agents.budget.session) == (28800.0, Budget())


def test_a_role_says_what_is_not_as_for_all():
    policy = parse(
        SMALLEST + "agents: {adapter: claude, model: small, env: {A: '1'}, roles: {planner: {does: plan, model: large}, "
        "local: {command: [./agent.sh], env: {B: '2'}}}}\n",
        "p.yaml",
    )
    agents = policy.agents
    planner, local = (roles.settings(agents, roles.role(agents, name)) for name in ("planner", "local"))
    assert (planner.adapter, planner.model, planner.env) == ("claude", "large", {"A": "1"})
    assert (local.adapter, local.command, local.model) == ("command", ("./agent.sh",), "")
    assert local.env == {"A": "1", "B": "2"}
    assert roles.role(agents, "").does == "work" and roles.role(agents, "reviewer").does == "review"
    assert roles.role(agents, "nobody") is None
    assert roles.settings(agents, roles.role(agents, "")) == agents


@pytest.mark.parametrize("wrong", ["{p: {does: sleep}}", "{p: {modle: x}}", "{'a b': {}}", "{p: {budget: {money: x}}}"])
def test_what_is_no_role(wrong):
    with pytest.raises(Problems, match="agents.roles"):
        parse(SMALLEST + f"agents: {{roles: {wrong}}}\n", "p.yaml")


@pytest.mark.parametrize("wrong", ["{money: -1}", "{money: '2'}", "{tokens: 5M}", "{time: 8}", "{hours: 8}"])
def test_what_is_no_budget(wrong):
    with pytest.raises(Problems, match="agents.budget.task"):
        parse(SMALLEST + f"agents: {{budget: {{task: {wrong}}}}}\n", "p.yaml")


def test_every_value_of_the_policy_is_a_key_of_the_schema():
    policy = parse(SMALLEST + "approvals: [{paths: [x]}]\n", "p.yaml")
    fields = set()
    for field in dataclasses.fields(Policy):
        value = getattr(policy, field.name)
        inner = value[0] if field.name in ("gates", "approvals") else value
        fields.add(field.name)
        if dataclasses.is_dataclass(inner):
            fields |= {f"{field.name}.{part.name}" for part in dataclasses.fields(inner)}
    assert fields == set(keys())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400)]
    + [("250ms", 0.25), ("1m500ms", 60.5), ("0.5s", 0.5), ("0h1m", 60)],
)
def test_durations(text, seconds):
    assert duration(text) == seconds
    assert isinstance(duration(text), float)


@pytest.mark.parametrize("text", ["", "0s", "10", "s", "-1s", "10 m", "1m1h", "1m\n", "1e3s", "soon", "9" * 30 + "s", "٣s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="not a duration"):
        duration(text)
    assert problems(SMALLEST + f"    timeout: {json.dumps(text)}\n")[0].startswith("p.yaml:5:14: ")


@pytest.mark.parametrize(
    ("text", "count"),
    [(0, 0), (7, 7), ("512B", 512), ("1KiB", 1024), ("1GiB", 1 << 30), ("0.5MiB", 1 << 19)]
    + [("0B", 0), ("999999999B", 999_999_999), ("3TiB", 3 << 40)],
)
def test_sizes(text, count):
    assert size(text) == count
    assert isinstance(size(text), int)


@pytest.mark.parametrize("text", ["", "1", "1GB", "1 GiB", "-1B", "1GiB\n", "KiB", -1, True, 1 << 70])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="not a size"):
        size(text)


@pytest.mark.parametrize(
    ("more", "want"),
    [
        ("    timeout: soon", "5:14: gates[0].timeout: expected a duration such as 90s, 10m or 2h, not 'soon'"),
        ("    timeout: 90", "5:14: gates[0].timeout: expected a duration such as 90s, 10m or 2h, not 90"),
        ("    timout: 1m", "5:5: gates[0]: unknown key 'timout'; did you mean 'timeout'?"),
        ("    env: {A-B: x}", "5:11: gates[0].env: 'A-B' is not a name of a variable (letters, digits and _)"),
        ("  - name: test\n    run: x", "5:11: gates[1].name: another gate is already called 'test'"),
        ("queue: {slots: 0}", "5:16: queue.slots: expected a whole number from 1 to 4096, not 0"),
        (
            "queue: {rejection: strickt}",
            "5:20: queue.rejection: expected one of strict, inference, not 'strickt'; did you mean 'strict'?",
        ),
        (
            "limits: {memory: 2GB}",
            "5:18: limits.memory: expected a size such as 64KiB, 100MiB or 2GiB, or a number of bytes, not '2GB'",
        ),
        ("limits: {memory: 9999999TiB}", "5:18: limits.memory: the size is too large"),
        ("agents: {command: [x, '{promt}']}", "5:23: agents.command[1]: unknown placeholder 'promt'; did you mean 'prompt'?"),
    ],
)
def test_problems_name_the_place_and_what_is_expected(more, want):
    assert problems(SMALLEST + more) == ["p.yaml:" + want]


@pytest.mark.parametrize(
    "name",
    ["refs/heads/main", "agent/a", "HEAD", "@", "-x", ".x", "a..b", "a//b", "a/", "a.lock", "a b", "a~1"]
    + ["a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{b", "a/.b", "a.", "x.lock/y", "a\n", ""],
)
def test_a_trunk_that_cannot_be_a_branch_or_is_not_ours(name):
    [line] = problems(SMALLEST + f"trunk: {json.dumps(name)}\n")
    assert "trunk: expected the name of a branch" in line


@pytest.mark.parametrize("name", ["main", "release/1.x", "agents", "ütf", "a@b", "a-b_c"])
def test_a_trunk_that_is_a_branch(name):
    assert parse(SMALLEST + f"trunk: {name}\n", "p").trunk == name


@pytest.mark.parametrize("path", ["/x", "../x", "a/../b", "a/", "", ".git", "a/.git/b", ".", "!x", "a//b"])
def test_globs_and_paths_stay_inside_the_tree(path):
    for key in (f"protect: [{json.dumps(path)}]", f"slot: {{keep: [{json.dumps(path)}]}}"):
        assert "relative to the top" in problems(f"{SMALLEST}{key}\n")[0]


def test_braces_that_are_not_ours_are_left_alone():
    text = SMALLEST + "agents: {command: [sh, -c, 'echo ${HOME} {a,b} {x}']}"
    assert parse(text, "p").agents.command[2] == "echo ${HOME} {a,b} {x}"


def test_version_and_gates_are_required():
    assert problems("trunk: main") == ["p.yaml:1:1: missing key 'gates'", "p.yaml:1:1: missing key 'version'"]
    assert "expected 1, not 2" in problems(SMALLEST.replace("1", "2"))[0]


def test_a_second_equal_key_cannot_switch_a_rule_off():
    text = SMALLEST + "protect: [tests/**]\nprotect: []\n"
    assert problems(text) == ["p.yaml:6:1: duplicate key 'protect', first on line 5"]


INFLUENCES = [
    "gates: [{name: test, run: make check}]",
    "gates: [{name: test, run: make test, timeout: 11m}]",
    "gates: [{name: test, run: make test, env: {A: b}}]",
    "gates: [{name: test, run: make test}, {name: more, run: 'true'}]",
    "gates: [{name: test, run: make test, paths: [x]}]",
    "slot: {setup: make}",
    "slot: {setup_on: [x]}",
    "slot: {keep: [x]}",
    "slot: {pass_env: [X]}",
    "gates: [{name: test, run: make test, pass_env: [X]}]",
    "limits: {memory: 1GiB}",
    "limits: {output: 1MiB}",
    "limits: {processes: 0}",
    "limits: {file_size: 1GiB}",
]


def changed(line):
    base = {"version": "version: 1", "gates": "gates: [{name: test, run: make test}]"}
    return parse("\n".join({**base, line.split(":")[0]: line}.values()), "p")


def test_the_fingerprint_follows_what_can_influence_a_verdict():
    seen = [fingerprint(changed(line)) for line in ["version: 1", *INFLUENCES]]
    assert len(set(seen)) == len(seen)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in seen)


@pytest.mark.parametrize(
    "line",
    ["trunk: other", "strategy: merge", "queue: {slots: 9, batch: 2}", "agents: {count: 9}"]
    + [
        "protect: [x]",
        "approvals: [{paths: [x], by: person}]",
        "limits: {change_files: 5}",
        "limits: {memory: 0}",
        "agents: {pass_env: [X]}",
        "limits: {processes: 2000, file_size: 8GiB, allow_secrets: [x]}",
        "slot: {pass_env: []}",
    ],
)
def test_the_fingerprint_ignores_what_cannot(line):
    assert fingerprint(changed(line)) == fingerprint(changed("version: 1"))


def test_a_new_key_of_a_gate_is_covered_on_purpose_or_not_at_all():
    # One that nobody decided on would void every verdict, or leave out what a verdict depends on.
    for section, kind in (("gates", Gate), ("slot", Slot)):
        assert {*COVERED[section], *LATER[section]} == {field.name for field in fields(kind)}
    admits = {"change_files", "change_bytes", "depth", "path", "message", "allow_submodules", "allow_secrets"}
    assert {*COVERED["limits"], *LATER["limits"]} | admits == {field.name for field in fields(Limits)}


def test_the_fingerprint_is_stable_from_release_to_release():
    assert fingerprint(parse(SMALLEST, "p")) == "a504bcc173321884"


def of_parts(gates, more=""):
    return parts(parse(f"version: 1\ngates: [{gates}]\n{more}", "p"))


def test_gates_that_name_paths_are_judged_apart_and_the_others_together():
    scoped = "{name: %s, run: 'true', paths: [%s/**]}"
    whole = "{name: lint, run: lint}, {name: build, run: make}"
    found = of_parts(f"{scoped % ('docs', 'docs')}, {whole}, {scoped % ('src', 'src')}", "slot: {setup_on: [deps]}")
    assert [(p.gates, p.paths) for p in found] == [
        (("lint", "build"), ("**",)),
        (("docs",), ("docs/**", "deps")),
        (("src",), ("src/**", "deps")),
    ]
    assert len({p.fingerprint for p in found}) == 3

    # Each is known by its own gates and their slot alone: the others may change.
    alone = of_parts(whole, "slot: {setup_on: [deps]}")
    assert alone[0].fingerprint == found[0].fingerprint
    assert of_parts(f"{scoped % ('docs', 'docs')}")[0].fingerprint != found[1].fingerprint


def test_without_paths_there_is_one_part_the_whole():
    policy = parse(SMALLEST, "p")
    assert not in_parts(policy)
    [part] = parts(policy)
    assert (part.fingerprint, part.paths) == (fingerprint(policy), ("**",))


GATE = "echo ': #' \"é\" \\ 😀"


@pytest.mark.parametrize("path", sorted((ROOT / "policies").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_presets_are_valid_once_the_gate_is_filled_in(path):
    text = path.read_text()
    assert text.count("    run: @GATE@\n") == text.count("@GATE@") == 1
    policy = parse(text.replace("@GATE@", json.dumps(GATE, ensure_ascii=False)), path.name)
    assert policy.gates[0].run == GATE
    assert policy.protect[0] == ".agentctl/**"


def test_there_are_three_presets():
    names = {path.name for path in (ROOT / "policies").iterdir()}
    assert names == {"default.yaml", "solo.yaml", "strict.yaml"}


def test_a_preset_that_was_not_filled_in_says_so():
    text = (ROOT / "policies/default.yaml").read_text()
    assert problems(text)[0].endswith("a value that begins with @ needs quotes")


def test_every_key_is_in_the_manual():
    """That the section is as the schema says is among the project's own rules (test_tidy)."""
    lines = (ROOT / "man/man5/agentctl-policy.5").read_text().replace("\\-", "-").splitlines()
    missing = [key for key in keys() if f".B {key}" not in lines and f".SS {key}" not in lines]
    assert missing == []


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manuals_are_clean_roff():
    command = ["groff", "-man", "-ww", "-z", "-Tutf8", *map(str, ROOT.glob("man/man[57]/*"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_schema_is_one_and_every_part_is_described():
    jsonschema.Draft202012Validator.check_schema(json.loads(command.schema()))
    assert json.loads(command.schema()) == SCHEMA
    assert all(part.get("description") for part in described(SCHEMA))


def test_every_default_keeps_to_its_own_schema():
    for part in described(SCHEMA):
        if "default" in part:
            jsonschema.Draft202012Validator(part).validate(part["default"])


def test_check_tells_each_problem_and_exits_with_3():
    assert command.check(SMALLEST, "p.yaml") == (0, "p.yaml: valid (trunk main, gates: test)")
    status, told = command.check("version: 2\ngates: []\n", "p.yaml")
    assert status == 3
    assert told.splitlines() == [
        "p.yaml:1:10: version: expected 1, not 2",
        "p.yaml:2:8: gates: expected a list of 1 or more, not an empty list",
    ]


def test_explain_shows_every_key_in_80_columns():
    text = SMALLEST + f"slot: {{setup: {'x' * 300}}}\nqueue: {{slots: 7}}\napprovals: [{{paths: [x]}}]\n"
    assert "  approvals  []" in " ".join(command.explain(SMALLEST, "p").split("\n")) and "(default)" in command.explain(
        SMALLEST, "p", "approvals"
    )
    lines = command.explain(text, "p").splitlines()
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines]
    assert ["slots", "7", "set"] in words
    assert ["batch", "64", "default"] in words
    shown = {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "}
    assert shown == {key.split(".")[-1] for key in keys()} - set(SCHEMA["properties"]) | {
        "version",
        "trunk",
        "remote",
        "publish",
        "upstream",
        "foreign",
        "strategy",
        "protect",
    }


def test_explain_of_one_key_is_in_full():
    text = SMALLEST + f"slot: {{setup: {'x' * 100}}}\n"
    assert "x" * 60 in command.explain(text, "p", "slot.setup")
    assert "".join(command.explain(text, "p", "slot.setup").split()).count("x" * 100) == 1
    queue = command.explain(text, "p", "queue.slots").splitlines()
    assert queue[0] == "queue.slots"
    assert "    value     2  (default)" in queue
    assert "    expected  a whole number from 1 to 4096" in queue


def test_explain_takes_a_section_and_a_gate():
    text = SMALLEST + "  - {name: lint, run: ruff}\n"
    assert command.explain(text, "p", "queue").count("expected") == 4
    assert command.explain(text, "p", "gates.run").count("value") == 2
    assert "ruff" in command.explain(text, "p", "gates[1].run")
    assert command.explain(text, "p", "version").startswith("version\n")


def test_explain_of_an_unknown_key_suggests_one():
    with pytest.raises(NotFound, match="did you mean 'queue.slots'"):
        command.explain(SMALLEST, "p", "queue.slot")
    with pytest.raises(Problems):
        command.explain("version: 9", "p")


@pytest.mark.parametrize("name", ["prompt", "prompt_file", "task", "agent", "worktree"])
def test_each_placeholder_is_known_and_a_near_miss_of_it_is_not(name):
    def with_command(word):
        return f"version: 1\ngates: [{{name: t, run: t}}]\nagents: {{command: [x, '{{{word}}}']}}"

    assert parse(with_command(name), "p").agents.command == ("x", f"{{{name}}}")
    with pytest.raises(Problems, match=f"did you mean '{name}'"):
        parse(with_command(name[:-1] + "x"), "p")


def test_the_bounds_of_a_path_are_what_they_are():
    def with_limit(**limits):
        return parse(f"version: 1\ngates: [{{name: t, run: t}}]\nlimits: {limits}", "p").limits

    for key, most in (("depth", 1000), ("path", 4096)):
        for good in (1, most):
            assert getattr(with_limit(**{key: good}), key) == good
        for bad in (0, most + 1):
            with pytest.raises(Problems):
                with_limit(**{key: bad})


def test_what_roles_are_for_without_a_word():
    roles = parse(SMALLEST + "agents: {roles: {planner: {count: 2}, reviewer: {model: m}, writer: {}}}\n", "p.yaml").agents.roles
    assert {name: role.does for name, role in roles.items()} == {"planner": "plan", "reviewer": "review", "writer": "work"}
    other = parse(SMALLEST + "agents: {roles: {planner: {does: work}}}\n", "p.yaml").agents.roles
    assert other["planner"].does == "work"
