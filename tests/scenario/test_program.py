"""Which program an agent is: the one beside the person, or the project's own."""

import json
import subprocess

import pytest

from agentctl.core.text.json_form import replace
from agentctl.fleet import adapters
from agentctl.hub.policy_file import read_policy
from agentctl.terminal import agent_program
from agentctl.terminal.agent_program import Typed
from agentctl.terminal.parser import Given
from tests.support.agents import add
from tests.support.hub import command, environment, policy, write

SAYS = '#!/bin/sh\ncat >/dev/null\necho {} >"said-$AGENTCTL_TASK$AGENTCTL_AGENT.txt"\n'


def script(path, said):
    write(path.parent, {path.name: SAYS.format(said)})
    path.chmod(0o755)


@pytest.fixture
def beside(repo):
    """A script of the person's, which is not committed."""
    write(repo.path, {".git/info/exclude": "my-agent.sh\n"})
    script(repo.path / "my-agent.sh", "mine")
    script(repo.path.parent / "up.sh", "up")
    script(repo.path / "docs/agent.sh", "docs")
    repo.git("add", "docs")
    return repo


def with_script(repo, name="tools/agent.sh", said="project"):
    """The project's own script, on trunk and in its checkout."""
    script(repo.path / name, said)
    repo.git("add", name)
    repo.git("commit", "-qm", "a script")


@pytest.mark.parametrize(
    "where, program, said",
    [
        (".", "./my-agent.sh", "mine"),
        (".", "../up.sh", "up"),
        ("docs", "../my-agent.sh", "mine"),
        ("docs", "./agent.sh", "docs"),
        (".", "docs/agent.sh", "docs"),
    ],
)
def test_a_program_beside_the_person(beside, where, program, said):
    beside.git("commit", "-qm", "docs")
    add(beside, "one")
    done = beside.cli("run", "-n", "1", "--", program, cwd=beside.path / where)
    assert "1 of 1 landed" in done.stdout
    assert beside.show("said-oneagent-1.txt") == said + "\n"


def test_the_folder_that_was_named_is_where_the_person_stands(beside):
    beside.git("commit", "-qm", "docs")
    add(beside, "one")
    beside.cli("-C", beside.path, "run", "-n", "1", "--", "./my-agent.sh", cwd="/")
    assert beside.show("said-oneagent-1.txt") == "mine\n"


def test_a_script_of_the_project_is_the_worktrees_own(repo):
    with_script(repo)
    (repo.path / "tools/agent.sh").unlink()
    done = repo.cli("spawn", "ann", "--", "tools/agent.sh")
    assert "ann: submitted" in done.stdout
    ref = repo.refs("refs/agentctl/inbox/ann")[0]
    assert repo.show("said-annann.txt", ref) == "project\n"


def test_from_a_bare_repository(make_repo):
    repo = make_repo()
    with_script(repo)
    subprocess.run(["git", "clone", "-q", "--bare", repo.path, repo.path.parent / "bare.git"], check=True)
    done = repo.cli("spawn", "ann", "--", "./tools/agent.sh", cwd=repo.path.parent / "bare.git")
    assert "ann: submitted" in done.stdout


def test_the_policys_program_is_the_projects_wherever_one_stands(make_repo):
    text = policy().replace("agents:\n", "agents:\n  command: [tools/agent.sh]\n")
    repo = make_repo(files={".agentctl/policy.yaml": text})
    with_script(repo)
    write(repo.path, {"docs/tools/agent.sh": "exit 1\n"})
    assert "ann: submitted" in repo.cli("spawn", "ann", cwd=repo.path / "docs").stdout
    (repo.path / "docs/tools/agent.sh").unlink()
    repo.cli("rm", "ann", "--force")
    assert json.loads(repo.cli("doctor", "--json").stdout) == []


@pytest.mark.parametrize("words", [["run", "-n", "1"], ["spawn", "ann"]], ids=["run", "spawn"])
def test_what_cannot_be_run_is_told(repo, words):
    add(repo, "one")
    write(repo.path, {"plain.sh": "#!/bin/sh\n"})
    said = repo.cli(*words, "--", "./plain.sh", ok=4).stderr
    assert "./plain.sh is not executable" in said
    hint = said.split("hint: ")[1]
    subprocess.run(["sh", "-c", hint], cwd=repo.path, check=True)
    assert (repo.path / "plain.sh").stat().st_mode & 0o100
    assert "is neither here nor a file of trunk" in repo.cli(*words, "--", "./absent.sh", ok=4).stderr
    assert "is not on the PATH" in repo.cli(*words, "--", "no-such-program", ok=4).stderr
    assert repo.refs("refs/agentctl/claims") == []


def test_a_relative_folder_on_the_path(beside):
    done = subprocess.run(
        command("spawn", "ann", "--", "agent.sh"),
        cwd=beside.path,
        capture_output=True,
        text=True,
        env=environment() | {"PATH": "docs:" + environment()["PATH"]},
    )
    assert "ann: submitted" in done.stdout, done.stderr


RECORDS = """\
#!/bin/sh
printf '%s\\n' "$@" >argv
echo "$IS_SANDBOX" >sandbox
echo "$WARMTH,$COLOUR" >typed
git add -A && git commit -qm done
"""


@pytest.mark.parametrize(("env", "sandbox"), [("", "1"), ("  env: {IS_SANDBOX: '0'}\n", "0")], ids=["as it is", "by the policy"])
def test_what_the_policy_and_the_person_add_stands_behind_what_an_adapter_runs(make_repo, tmp_path, monkeypatch, env, sandbox):
    write(tmp_path / "bin", {"claude": RECORDS})
    (tmp_path / "bin/claude").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    text = policy().replace("agents:\n", f"agents:\n  adapter: claude\n  command: [--model, opus]\n{env}")
    repo = make_repo(files={".agentctl/policy.yaml": text})
    monkeypatch.setenv("COLOUR", "red")
    add(repo, "one")
    repo.cli("run", "-n", "1", "--adapter", "claude", "-e", "WARMTH=9=x", "-e", "COLOUR", "--", "--max-turns", "9")
    argv = repo.show("argv").splitlines()
    assert argv[0] == "-p" and argv[-4:] == ["--model", "opus", "--max-turns", "9"]
    assert repo.show("sandbox") == sandbox + "\n"
    assert repo.show("typed") == "9=x,red\n"


PLAN = ("--permission-mode", "plan")
CALLS = {
    "nothing": ("", Typed(), ("claude", "--model", "sonnet", *PLAN), ("claude", "--model", "sonnet", *PLAN)),
    "model": ("", Typed(model="opus"), ("claude", "--model", "opus", *PLAN), ("claude", "--model", "opus", *PLAN)),
    "role's model": (
        "model: haiku",
        Typed(model="opus"),
        ("claude", "--model", "opus", *PLAN),
        ("claude", "--model", "haiku", *PLAN),
    ),
    "arguments": (
        "",
        Typed(("-x",), adapter="claude"),
        ("claude", "--model", "sonnet", *PLAN, "-x"),
        ("claude", "--model", "sonnet", *PLAN, "-x"),
    ),
    "program": ("model: haiku", Typed(adapter="codex"), ("codex",), ("codex",)),
    "program and model": (
        "model: haiku",
        Typed(("-x",), "codex", "gpt"),
        ("codex", "--model", "gpt", "-x"),
        ("codex", "--model", "gpt", "-x"),
    ),
    "command": ("model: haiku", Typed(("sh", "-x")), ("sh", "-x"), ("sh", "-x")),
    "role's program": (
        "adapter: codex, command: [-y]",
        Typed(("-x",), "claude", "opus"),
        ("claude", "--model", "opus", *PLAN, "-x"),
        ("codex", "-y"),
    ),
}


@pytest.mark.parametrize(("role", "typed", "for_all", "for_workers"), CALLS.values(), ids=CALLS)
def test_what_is_typed_is_for_roles_without_a_program_and_what_the_policy_says_of_its_own_is_for_no_other(
    make_repo, tmp_path, monkeypatch, role, typed, for_all, for_workers
):
    for name in ("claude", "codex"):
        write(tmp_path / "bin", {name: RECORDS})
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    words = "  adapter: claude\n  model: sonnet\n  command: [--permission-mode, plan]\n  env: {A: policy, B: policy, C: policy}\n"
    inner = ", ".join(filter(None, (role, "env: {B: role, C: role}")))
    repo = make_repo(agents=f"{words}  roles: {{worker: {{{inner}}}}}\n")
    given, settings = Given(path=str(repo.path)), read_policy(repo.hub, repo.tip).agents
    typed = replace(typed, env={"C": "typed"})
    crew = (
        agent_program.chosen(given, repo.tip, settings, typed),
        agent_program.by_role(given, repo.tip, settings, typed)["worker"],
    )
    for program, expected, b in zip(crew, (for_all, for_workers), ("policy", "role"), strict=True):
        name, *rest = expected
        own = adapters.lookup(program.settings.adapter).argv
        assert program.settings.adapter == ("command" if name == "sh" else name)
        assert program.argv[0].endswith(name) and program.argv[1 : len(own)] == own[1:]
        assert program.argv[max(1, len(own)) :] == tuple(rest)
        assert program.settings.env == {"A": "policy", "B": b, "C": "typed"}


@pytest.mark.parametrize("words", [["--prompt", "do it"], ["--task", "one"]])
def test_one_session_without_a_role_is_a_workers(make_repo, words):
    worker = "{worker: {env: {WHO: worker}}}"
    repo = make_repo(agents=f"  roles: {worker}\n")
    add(repo, "one")
    repo.cli("spawn", "ann", *words, "--", "sh", "-c", 'test "$WHO" = worker && echo x >x.txt')


def test_a_variable_that_cannot_be_given(repo):
    add(repo, "one")
    said = repo.cli("run", "-n", "1", "--env", "ABSENT_HERE", "--", "true", ok=2).stderr
    assert "there is no such variable here" in said and "--env ABSENT_HERE=VALUE" in said
    assert "not the name of a variable" in repo.cli("run", "-n", "1", "--env", "1A=b", "--", "true", ok=2).stderr
