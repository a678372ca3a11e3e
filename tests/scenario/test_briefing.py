"""What a session finds out: its prompt, what others left for it, and agentctl itself."""

import json

import pytest

from tests.support.agents import WORK, add, run, task
from tests.support.hub import write


def test_a_session_that_fails_hands_over_to_the_next(repo):
    add(repo, "one")
    run(
        repo,
        f"""
        if [ "$AGENTCTL_GENERATION" = 1 ]; then
            echo half >half.txt
            echo "half is done; the rest is in b.txt" >"$AGENTCTL_SESSION/handoff.md"
            exit 1
        fi
        test -z "$(ls -A "$AGENTCTL_SESSION")" && grep -q "> half is done; the rest is in b.txt" "$AGENTCTL_PROMPT_FILE" &&
            grep -q "half.txt | 1 +" "$AGENTCTL_PROMPT_FILE" && {WORK}
        """,
    )
    first, _ = task(repo, "one")["sessions"]
    assert first["handoff"] == "half is done; the rest is in b.txt"
    assert repo.landings() == ["one/1"]
    # The folder itself is no part of any work.
    assert "session" not in repo.git("ls-tree", "-r", "--name-only", first["salvage"]) + repo.git("ls-tree", "-r", "main")


@pytest.mark.parametrize("odd", ["ln -s /etc/passwd", "mkfifo", "mkdir"])
def test_a_handoff_that_is_no_file_is_none(repo, odd):
    add(repo, "one")
    run(repo, f'{odd} "$AGENTCTL_SESSION/handoff.md"; {WORK}')
    assert task(repo, "one")["sessions"][0]["handoff"] == ""
    assert repo.landings() == ["one/1"]


def test_agentctl_is_there_for_every_session(repo, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    add(repo, "one")
    # A folder of that name in the worktree is not mistaken for it.
    run(repo, f"mkdir agentctl; echo 'raise SystemExit(9)' >agentctl/__init__.py; agentctl note 'use make' && {WORK}")
    assert repo.landings() == ["one/1"]
    assert repo.cli("note").stdout == "use make\n"


def test_the_path_that_the_policy_sets_holds(make_repo, tmp_path):
    write(tmp_path, {"tools/work": f"#!/bin/sh\n{WORK}\n"})
    (tmp_path / "tools/work").chmod(0o755)
    repo = make_repo(agents=f"  env: {{PATH: '{tmp_path}/tools:/usr/bin:/bin'}}\n")
    add(repo, "one")
    run(repo, "agentctl note 'it is there, too' && work")
    assert repo.landings() == ["one/1"] and repo.cli("note").stdout == "it is there, too\n"


def test_the_notebook_is_in_every_prompt(repo):
    repo.cli("note", "the", "tests", "need", "LANG=C")
    repo.cli("note", "use make")
    add(repo, "one")
    run(repo, f'grep -q "^- the tests need LANG=C$" "$AGENTCTL_PROMPT_FILE" && {WORK}')
    assert repo.landings() == ["one/1"]
    assert json.loads(repo.cli("note", "--replace", "--json", stdin="use ninja\n").stdout) == {"lines": ["use ninja"]}
    assert repo.cli("note").stdout == "use ninja\n"
    repo.proven()


def test_a_key_does_not_get_into_the_notebook(repo, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "a9f3c1d2e4b5a6978877")
    repo.cli("note", "push with a9f3c1d2e4b5a6978877")
    said = repo.cli("note").stdout
    assert said.startswith("push with ") and "a9f3c1d2e4b5a6978877" not in said


def test_whatever_stands_in_the_place_of_the_notebook(repo):
    blob = repo.git("hash-object", "-w", "check.sh").strip()
    repo.git("update-ref", "refs/agentctl/notebook", blob)
    assert repo.cli("note").stdout == ""
    repo.cli("note", "use make")
    assert repo.cli("note").stdout == "use make\n"


def test_a_project_words_its_own_prompt(repo):
    write(repo.path, {".agentctl/prompt.md": "Be brief.\n\n{{task}}\n\n{{earlier}}\n"})
    repo.git("add", ".agentctl")
    repo.git("commit", "-qm", "our prompt")
    add(repo, {"id": "one", "prompt": "Do it."})
    run(repo, f'test "$(cat "$AGENTCTL_PROMPT_FILE")" = "$(printf "Be brief.\\n\\nDo it.")" && {WORK}')
    assert repo.landings() == ["one/1"]
    assert repo.cli("prime", "one").stdout == "Be brief.\n\nDo it.\n"
    assert repo.cli("prime", "--template").stdout == "Be brief.\n\n{{task}}\n\n{{earlier}}\n"


def test_a_misspelt_prompt_starts_no_session(repo):
    write(repo.path, {".agentctl/prompt.md": "{{task}}\n{{rejektion}}\n"})
    repo.git("add", ".agentctl")
    repo.git("commit", "-qm", "our prompt")
    add(repo, "one")
    said = run(repo, WORK, ok=3).stderr
    assert ".agentctl/prompt.md:2:1: no section is called 'rejektion'" in said and "did you mean 'rejection'" in said
    assert task(repo, "one")["sessions"] == []
    assert ".agentctl/prompt.md:2" in repo.cli("policy", "check", ok=3).stdout


def test_a_session_asks_anew_what_it_is_told(repo):
    add(repo, {"id": "one", "prompt": "Do it.", "acceptance": "It is done."})
    run(repo, f'agentctl note "came later"; agentctl prime | grep -q "came later" && {WORK}')
    assert repo.landings() == ["one/1"]
    said = repo.cli("prime", "one").stdout
    assert said.startswith("# ") and "It is done." in said
    assert "agentctl prime TASK" in repo.cli("prime", ok=2).stderr
    assert json.loads(repo.cli("prime", "one", "--json").stdout)["prompt"].rstrip("\n") == said.rstrip("\n")


def test_who_conflicts_is_told_what_the_other_side_meant(repo):
    # Both tasks change the same line; the second one learns why the first did.
    add(
        repo,
        {"id": "first", "prompt": "Say hello in README.", "priority": 5},
        {"id": "second", "prompt": "Say goodbye in README."},
    )
    run(
        repo,
        """
        if [ "$AGENTCTL_TASK" = first ]; then
            echo hello >README; git commit -qam "greet" -m "people like it"; exit
        fi
        if [ -z "$AGENTCTL_ANSWER" ]; then
            for i in $(seq 100); do git ls-remote -q origin main | grep -qv "^$AGENTCTL_BASE" && break; sleep 0.1; done
            echo goodbye >README; git commit -qam "part"; exit
        fi
        grep -q "^> people like it" "$AGENTCTL_PROMPT_FILE" && grep -q "^> Say hello in README." "$AGENTCTL_PROMPT_FILE" || exit
        echo "hello and goodbye" >README; git commit -qam "part, too"
        """,
    )
    assert repo.landings() == ["first/1", "second/2"]
