"""The commands that agentctl-refs(7) shows do what it says they do."""

import re
import subprocess

from tests.support.hub import ROOT

PAGE = (ROOT / "man/man7/agentctl-refs.7").read_text()


def shown(section):
    """The command lines of a section, as a reader would type them."""
    body = PAGE.split(f".SH {section}\n")[1].split("\n.SH ")[0]
    return [line.removeprefix(".B ").replace("\\-", "-") for block in re.findall(r"\.nf\n(.*?)\.fi", body, re.S)
            for line in block.splitlines() if line.startswith(".B git ")]


def sh(repo, line):
    done = subprocess.run(["/bin/sh", "-c", line], cwd=repo.path, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_looking_at_a_hub(repo, tmp_path):
    repo.submit("fix", {"fix.txt": "BUG\n"})
    repo.drain()
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    with repo.bot() as bot:
        while not bot.state.queue:
            bot.tick()
    repo.submit("new", {"new.txt": "new\n"}, priority=3)
    inbox, log, why, queued, copy = shown("EXAMPLES")
    assert sh(repo, inbox) == 'refs/agentctl/inbox/ann/new/1 {"priority": 3}\n'
    assert "admit slow/1 from ann: add slow" in sh(repo, log)
    assert '"kind": "gate"' in sh(repo, why)
    assert sh(repo, queued).endswith("/slow/1\n")

    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "copy")], check=True)
    there = type(repo)(tmp_path / "copy")
    sh(there, copy.replace("HUB", str(repo.path)))
    assert there.refs() == repo.refs()


def test_a_submission_by_plain_git(repo):
    repo.git("branch", "fix", repo.change({"fix.txt": "fixed\n"}, "mend the crash"))
    *steps, log, grep = shown("A SUBMISSION BY PLAIN GIT")
    for line in steps:
        sh(repo, line)
    repo.drain()
    assert repo.stages() == {"fix/2": "superseded", "fix/3": "landed"}
    assert repo.record("fix").change.priority == 5
    assert "landed fix/3" in sh(repo, log)
    assert sh(repo, grep) == '"stage":"landed"\n'
    said = repo.git("log", "--format=%B", "refs/agentctl/state")
    assert "admit fix/3 from ann: mend the crash" in said and "probe 1 of fix/3: " in said
