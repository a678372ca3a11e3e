"""What `agents.setup` makes is no agent's work, and is there for each session."""

import pytest

from tests.scenario.test_session import run, run_again
from tests.support.hub import policy, write

MAKES = "echo hush >config.local; mkdir -p build/x; echo made >build/x/dep; ln -s /usr/share linked; echo set up >>README; echo s >>.git/ran"


def with_set_up(make_repo, command, files=(), **values):
    repo = make_repo()
    text = policy(**values).replace("  count: 2", f"  count: 2\n  setup: '{command}'")
    write(repo.path, {".agentctl/policy.yaml": text, ".gitignore": "build/\n", **dict(files)})
    repo.git("add", ".")
    repo.git("commit", "-qm", "a set-up")
    return repo


def test_it_is_no_part_of_a_change_whoever_commits(make_repo):
    repo = with_set_up(make_repo, MAKES)
    ended = run(repo, "echo one >one; git add -A; git reset -q README; git commit -qm one")
    assert (ended.revision, ended.note) == (1, "")
    repo.drain()
    assert (repo.show("one"), repo.show("config.local"), repo.show("linked"), repo.show("README")) == (
        "one\n",
        None,
        None,
        "read me\n",
    )
    # An agent that commits nothing has the rest committed for it.
    ended = run_again(repo, "cat config.local linked/../share/doc/x 2>/dev/null; [ -L linked ] && cat build/x/dep >two")
    assert (ended.revision, ended.note) == (2, "it had not committed two, which is part of the change")
    repo.drain()
    assert (repo.show("two"), repo.show("config.local"), repo.show("README")) == ("made\n", None, "read me\n")


def test_what_an_agent_has_changed_of_it_is_its_work(make_repo):
    repo = with_set_up(make_repo, MAKES)
    assert run(repo, "echo more >>README").revision == 1
    repo.drain()
    assert repo.show("README") == "read me\nset up\nmore\n"


def test_it_is_made_anew_if_an_agent_has_deleted_it(make_repo):
    repo = with_set_up(make_repo, MAKES)
    for n, harm in enumerate(["git clean -fdxq", "rm -rf build", "rm config.local"], 1):
        done = run if n == 1 else run_again
        assert (
            done(
                repo, f"cp build/x/dep kept{n}; cat config.local >>kept{n}; git add kept{n}; git commit -qm w{n}; {harm}"
            ).revision
            == n
        )
        repo.drain()
        assert repo.show(f"kept{n}") == "made\nhush\n"


def test_it_is_told_where_and_for_whom_it_runs(make_repo):
    repo = with_set_up(make_repo, 'echo "$AGENTCTL_HUB $AGENTCTL_AGENT $AGENTCTL_TASK" >build.for')
    run(repo, "cat build.for >one; git add one; git commit -qm one")
    repo.drain()
    assert repo.show("one") == f"{repo.hub.git_dir} ann job\n"


def test_it_is_made_anew_if_what_it_is_made_from_has_changed(make_repo):
    repo = make_repo()
    text = policy().replace("  count: 2", "  count: 2\n  setup: 'cp deps.txt installed'\n  setup_on: [deps.txt]")
    write(repo.path, {".agentctl/policy.yaml": text, "deps.txt": "1\n"})
    repo.git("add", ".")
    repo.git("commit", "-qm", "a set-up")
    run(repo, "cp installed one; echo 2 >deps.txt; git add one deps.txt; git commit -qm newer")
    repo.drain()
    run_again(repo, "cp installed two; git add -A; git commit -qm two")
    repo.drain()
    assert (repo.show("one"), repo.show("two"), repo.show("installed")) == ("1\n", "2\n", None)


def test_what_it_deletes_or_puts_a_link_in_place_of_is_no_change(make_repo):
    files = {"gone": "1\n", "file": "2\n", "kept": "3\n"}
    repo = with_set_up(make_repo, "rm gone file; ln -s /usr/share file; mkdir .agent; echo 1 >.agent/k", files)
    ended = run(repo, "echo one >one; echo 4 >kept")
    assert (ended.revision, ended.note) == (1, "it had not committed kept, one, which is part of the change")
    repo.drain()
    assert [repo.show(name) for name in (*files, "one", ".agent/k")] == ["1\n", "2\n", "4\n", "one\n", None]


def test_a_folder_that_it_puts_a_link_in_place_of_is_no_change(make_repo):
    files = {"src/a": "1\n", "src/b": "2\n"}
    repo = with_set_up(make_repo, "mv src .cache; ln -s .cache src; echo set up >.cache/b", files, dirty="all")
    ended = run(repo, "echo one >one; git add one; git commit -qm one; echo 2 >two; echo 3 >>src/a")
    assert (ended.revision, ended.note) == (1, "it had not committed two, which is part of the change")
    repo.drain()
    assert [repo.show(name) for name in (*files, "one", "two")] == ["1\n", "2\n", "one\n", "2\n"]


@pytest.mark.parametrize(
    "command, link",
    [
        ("mv src .cache; ln -s .cache src", "src"),
        ("mv file .cache; ln -s .cache file", "file"),
        ("rm -r src; echo x >src", "src"),
    ],
)
def test_what_it_puts_in_place_of_something_of_trunks_is_there_for_each_session(make_repo, command, link):
    repo = with_set_up(make_repo, command, {"src/a": "1\n", "src/b": "2\n", "file": "3\n"})
    for n, done in enumerate((run, run_again, run_again), 1):
        ended = done(
            repo, f"[ ! -e .cache/src ] || exit 1; ls -ld {link} | cut -c1 >kind{n}; git add kind{n}; git commit -qm one"
        )
        assert (ended.revision, ended.note) == (n, "")
        repo.drain()
        assert repo.show(f"kind{n}") == ("-\n" if command.startswith("rm") else "l\n")
    assert [repo.show(name) for name in ("src/a", "src/b", "file", ".cache")] == ["1\n", "2\n", "3\n", None]


def test_a_gate_finds_it_there_too_in_each_run(make_repo):
    repo = make_repo(gate="'[ -L src ]'")
    slot = "slot: {setup: 'mv src .cache; ln -s .cache src', keep: [.venv]}\n"
    write(repo.path, {".agentctl/policy.yaml": policy(gate="'[ -L src ]'") + slot, "src/a": "1\n"})
    repo.git("add", ".")
    repo.git("commit", "-qm", "a set-up")
    for name in ("one", "two", "three"):
        repo.submit(name, {name: "1\n"})
        repo.drain()
        assert repo.stage(name) == "landed"


def test_after_a_record_that_cannot_be_read_it_is_made_anew(make_repo):
    repo = with_set_up(make_repo, "echo hush >config.local; echo x >>ran")
    run(
        repo,
        'cat ran >one; git add one; git commit -qm one; chmod -R u+w "$AGENTCTL_HUB"; echo "{" >$(find "$AGENTCTL_HUB" -name set-up.json)',
    )
    repo.drain()
    run_again(repo, "cat ran >two; git add -A; git commit -qm two")
    repo.drain()
    assert (repo.show("one"), repo.show("two"), repo.show("config.local")) == ("x\n", "x\n", None)


def test_what_is_written_into_a_folder_of_it_is_kept_and_told(make_repo):
    repo = with_set_up(
        make_repo, "mkdir gen; echo made >gen/out; echo made >top; mkdir -p venv/__pycache__; echo made >venv/made"
    )
    ended = run(
        repo, "echo 1 >one; echo mine >gen/mine; echo more >>gen/out; echo x >venv/__pycache__/x; git add -A; git commit -qm one"
    )
    assert (ended.revision, "gen/mine, gen/out is in what agents.setup has made" in ended.note) == (1, True), ended.note
    assert [repo.show(name, ended.salvage) for name in ("gen/mine", "gen/out", "venv/__pycache__/x")] == [
        "mine\n",
        "made\nmore\n",
        None,
    ]
    repo.drain()
    # The next session finds what the set-up has made, and nothing of another task.
    again = run_again(repo, "ls gen >two; cat gen/out top >>two")
    repo.drain()
    assert (again.note, repo.show("two")) == ("it had not committed two, which is part of the change", "out\nmade\nmade\n")
    assert [repo.show(name) for name in ("gen/mine", "gen/out", "top")] == [None, None, None]
    repo.cli("spawn", "bob", "--", "sh", "-c", "echo bob >bob; echo kept >gen/kept")
    repo.cli("rm", "bob")
    assert "kept" in repo.git("log", "--all", "-p", "--", "gen/kept")


def test_what_an_agent_commits_inside_a_folder_of_it_is_part_of_the_change_and_no_more(make_repo):
    repo = with_set_up(make_repo, "mkdir deps; echo made >deps/made; echo made >deps/out")
    ended = run(repo, "echo mine >deps/patch; echo out >deps/out; git add -f deps/patch deps/out; git commit -qm one")
    assert (ended.revision, ended.note, ended.salvage) == (1, "", "")
    repo.drain()
    assert [repo.show(f"deps/{name}") for name in ("patch", "out", "made")] == ["mine\n", "out\n", None]


def test_what_an_agent_commits_there_stays_in_a_change_that_more_is_swept_into(make_repo):
    repo = with_set_up(make_repo, "mkdir deps; echo made >deps/made", dirty="all")
    ended = run(
        repo,
        "echo mine >deps/patch; git add -f deps/patch; git commit -qm one; echo more >>deps/patch; echo x >deps/x; echo 2 >two",
    )
    assert "deps/x is in what agents.setup has made, and no part of the change" in ended.note
    assert "it had not committed two" in ended.note
    assert [repo.show(f"deps/{name}", ended.salvage) for name in ("patch", "x")] == ["mine\nmore\n", "x\n"]
    repo.drain()
    assert [repo.show(name) for name in ("deps/patch", "deps/x", "two")] == ["mine\n", None, "2\n"]
