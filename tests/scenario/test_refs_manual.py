"""The commands that agentctl-refs(7) shows do what it says they do."""

import subprocess

from tests.support.hub import ROOT, Repo, policy, write

PAGE = (ROOT / "man/man7/agentctl-refs.7").read_text()
PLAIN = (("\\(aq", "'"), ("\\-", "-"), ("\\&", ""))


def shown(part):
    """The command lines of the page that hold some words, as a reader would type them."""
    text = PAGE
    for mark, plain in PLAIN:
        text = text.replace(mark, plain)
    found = [line[2:] for line in text.splitlines() if line.startswith("$ ") and part in line]
    assert found, part
    return found


def sh(repo, part, place=0):
    done = subprocess.run(["/bin/sh", "-c", shown(part)[place]], cwd=repo.path, capture_output=True, text=True)
    assert done.returncode == 0, f"{shown(part)}: {done.stderr}"
    return done.stdout


def test_looking_at_a_hub(repo, tmp_path):
    repo.cli("task", "add", "Add a greeting")
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.submit("docs", {"docs.txt": "docs\n"})
    repo.drain()
    repo.submit("parser", {"parser.txt": "parser\n"}, priority=5)
    assert 'refs/agentctl/inbox/ann/parser/1 {"priority": 5}\n' in sh(repo, "for-each-ref")
    assert "landed docs/1" in sh(repo, "log --first-parent")
    assert sh(repo, "refs/agentctl/state done").split() == ["done/19/bad/1", "done/71/docs/1"]
    assert '"kind":"rejected"' in sh(repo, "state:done/19/bad/1")
    assert '"kind": "gate"' in sh(repo, "verdict.json")
    assert "+BUG" in sh(repo, "diff main...")
    assert "created: Add a greeting" in sh(repo, "--reverse")
    assert '"Add a greeting"' in sh(repo, "task.json")
    assert sh(repo, "grep passed").count("/passed") >= 2

    # A clone fetches all of it.
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "copy"))
    copy = Repo(tmp_path / "copy")
    sh(copy, "git fetch origin")
    assert copy.refs() == repo.refs()


def test_submitting_by_plain_git(repo, tmp_path):
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    write(clone.path, {"parser.txt": "1\n"})
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "a parser")
    sh(clone, "push origin HEAD:")
    repo.drain()
    assert repo.stages() == {"parser/1": "landed"}

    # With facts: the page's tag, handed in after the first has gone from the inbox.
    write(clone.path, {"parser.txt": "2\n"})
    clone.git("commit", "-q", "-a", "-m", "once more")
    sh(clone, "git tag")
    clone.git("push", "-q", "origin", "refs/tags/parser-1:refs/agentctl/inbox/ann/parser/2")
    assert '"after": ["docs"]' in repo.git("for-each-ref", "--format=%(contents:subject)", "refs/agentctl/inbox")
    repo.drain()
    assert repo.record("parser").change.priority == 5
    assert repo.stages() == {"parser/1": "landed", "parser/2": "landed"}, repo.cli("why", "parser").stdout
    repo.proven()


def test_approving_by_plain_git(make_repo, tmp_path):
    repo = make_repo(files={".agentctl/policy.yaml": policy() + "approvals: [{paths: ['**'], by: person}]\n"})
    head = repo.submit("parser", {"parser.txt": "1\n"})
    repo.cli("bot", "run", "--once")
    repo.git("clone", "-q", str(repo.path), str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    clone.git("fetch", "-q", "origin", "+refs/agentctl/*:refs/agentctl/*")
    first, second = shown("approved")
    subprocess.run(["/bin/sh", "-ec", f"head={head}\n{first}\n{second}"], cwd=clone.path, check=True, capture_output=True)
    repo.drain()
    assert repo.stages() == {"parser/1": "landed"} and repo.record("parser").approvals[0].by == "tess"
    repo.proven()


def test_pausing_by_plain_git(repo):
    sh(repo, "update-ref refs/agentctl/pause")
    assert "nothing lands until" in repo.cli("queue").stdout
    sh(repo, "update-ref -d")
    assert repo.cli("queue").stdout == "the queue is empty; no bot has run here yet\n"
