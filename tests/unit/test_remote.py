"""What a push that did not succeed means, by what Git printed of it."""

import pytest

from agentctl.git.remote import Pushed, parse, words

TO = "To /srv/hub.git\n"
STALE = "!\tabc:refs/agentctl/state\t[rejected] (stale info)\n"
FOLLOWS = "!\tabc:refs/heads/main\t[rejected] (atomic push failed)\n"


def test_a_lease_that_does_not_hold_is_contended():
    assert parse(TO + FOLLOWS + STALE + "Done\n", "error: failed to push some refs") == Pushed(
        contended="refs/agentctl/state", said="[rejected] (stale info)"
    )


@pytest.mark.parametrize(
    "summary",
    [
        "[remote rejected] (failed to update ref)",
        "[remote rejected] (cannot lock ref 'refs/agentctl/state': is at 1 but expected 2)",
        "[remote rejected] (incorrect old value provided)",
        "[rejected] (fetch first)",
        "[rejected] (non-fast-forward)",
        "[remote rejected] (failed to lock)",
    ],
)
def test_somebody_else_was_first(summary):
    found = parse(f"{TO}!\tabc:refs/agentctl/state\t{summary}\n{FOLLOWS}", "")
    assert found.contended == "refs/agentctl/state"


@pytest.mark.parametrize(
    ("summary", "err", "said"),
    [
        (
            "[remote rejected] (protected branch hook declined)",
            "remote: error: GH006: Protected branch update failed for refs/heads/main.        \n"
            "remote: error: Changes must be made through a pull request.\n",
            "error: GH006: Protected branch update failed for refs/heads/main.; error: Changes must be made through a pull request.",
        ),
        ("[remote rejected] (pre-receive hook declined)", "remote: disk quota exceeded\n", "disk quota exceeded"),
        ("[remote rejected] (branch is currently checked out)", "", "[remote rejected] (branch is currently checked out)"),
        ("[remote rejected] (unable to migrate objects to permanent storage)", "", None),
    ],
)
def test_what_the_remote_does_not_take_is_quoted(summary, err, said):
    found = parse(f"{TO}!\tabc:refs/heads/main\t{summary}\n" + STALE.replace("stale info", "atomic push failed"), err)
    assert found.declined == "refs/heads/main"
    assert found.said == said or said is None


def test_all_refused_for_one_another_is_another_push_in_between():
    assert parse(TO + FOLLOWS, "").contended == "refs/heads/main"


def test_the_branch_is_what_is_declined():
    hook = "(pre-receive hook declined)"
    said = f"!\tabc:refs/agentctl/state\t[remote rejected] {hook}\n!\tabc:refs/heads/main\t[remote rejected] {hook}\n"
    assert parse(said, "").declined == "refs/heads/main"


@pytest.mark.parametrize("out", ["", TO, "!\tabc:refs/heads/main\t[remote failure] (remote failed to report status)\n"])
def test_no_answer_is_unknown(out):
    assert parse(out, "fatal: the remote end hung up unexpectedly\n").unknown


def test_no_atomic_push_is_declined():
    assert "atomic" in parse("", "fatal: the receiving end does not support --atomic push\n").said


def test_words_are_the_servers_own_or_gits():
    assert words("remote: \nremote:   no more   space  \nTo x\n") == "no more space"
    assert words("ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.\n") == (
        "ssh: connect to host h port 22: Connection refused; fatal: Could not read from remote repository."
    )
    assert words("fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n\n") == (
        "fatal: unable to connect to 127.0.0.1:; 127.0.0.1[0: 127.0.0.1]: errno=Connection refused"
    )
    assert words("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease\n") == (
        "git@h: Permission denied (publickey).; fatal: Could not read from remote repository."
    )
    assert words("fatal: bad\x1b[31m\n") == "fatal: bad\\x1b[31m"
