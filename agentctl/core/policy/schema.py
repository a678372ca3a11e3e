"""The JSON Schema (draft 2020-12) of a policy: the one source of its keys.

Validation, defaults, `policy explain`, `policy schema` and the values of the dataclasses all come from here. Two
annotations are agentctl's own: `x-expected` (what a value must be, in words) and `x-unit` (`seconds` or `bytes`: the
text is converted when it is read).
"""

from __future__ import annotations

from agentctl.core.policy.schema_kinds import (
    BRANCH,
    NAME,
    NAME_WORDS,
    REMOTE,
    choice,
    duration,
    env,
    globs,
    number,
    paths,
    section,
    size,
    text,
    variables,
)
from agentctl.core.policy.schema_of_agents import AGENTS
from agentctl.core.text.json_form import Plain

VERSION = 1
WORKER, PLANNER, REVIEWER = "worker", "planner", "reviewer"
"""The roles of agents that need not be in a policy."""
ANYBODY, PERSON = "anybody", "person"
"""Whose approvals a rule may ask for beside those of a role."""
SLOTS = 4096
"""The most gates that can run at the same time."""

GATE = section(
    "A gate judges a staged tree.",
    {
        "name": text(
            "What the gate is called in verdicts and logs. Unique in the policy.", pattern=NAME, **{"x-expected": NAME_WORDS}
        ),
        "run": text(
            "The command, run by sh -c at the top of a slot. Exit status 0 is passed, 125 is "
            "indeterminate: it is run again, and nobody is blamed, unless it goes on so and trunk without the "
            "changes passes. Anything else is failed. Several run at a time: AGENTCTL_SLOT is the "
            "slot's number, for a port or a database of its own. AGENTCTL_COMMIT is what is tested.",
            pattern=r"\S",
            **{"x-expected": "a command to run by sh -c"},
        ),
        "timeout": duration("A gate that runs longer is killed and has failed.", "10m"),
        "env": env("Variables added to the gate's environment. Numbers and truth values need quotes."),
        "pass_env": variables(
            "Variables of the bot's own environment that the gate gets besides those that hold no "
            "key (listed in agentctl-policy(5)). A gate runs the code of any change: it can read them."
        ),
        "paths": globs(
            "Globs: all of the tree that the gate's verdict depends on. Where these are as they "
            "were when it passed, it is not run again; if all gates name paths, changes that "
            "different ones judge do not wait for each other. Empty: the whole tree.",
            [],
        ),
    },
    required=("name", "run"),
)

SLOT = section(
    "The worktree that a gate runs in.",
    {
        "setup": text(
            "A command, run by sh -c when a slot is made, and again when a file that "
            "setup_on names differs from the last run; before each run, if it puts something else, "
            "such as a link, in the place of a tracked file or folder. It may take as long as the first gate; "
            "where it fails, and passes without the changes, they have failed. Empty: none.",
            "",
        ),
        "setup_on": globs("Files whose change makes setup run again, as globs.", []),
        "pass_env": variables("Variables of the bot's own environment that the setup gets, as gates.pass_env."),
        "keep": paths("Untracked paths that are not cleaned away between runs, such as .venv."),
    },
)

QUEUE = section(
    "The merge queue.",
    {
        "slots": number("How many gates run at the same time.", 2, 1, SLOTS),
        "batch": number("The most changes that one probe may test together.", 64, 1, 100_000),
        "rejection": choice(
            "The proof a rejection needs. strict: a failed probe of trunk plus that one change. "
            "inference: a failed probe whose other changes have all landed, which is "
            "cheaper, and sound if adding a change never repairs a failure.",
            "strict",
            "strict",
            "inference",
        ),
        "retries": number(
            "How often an indeterminate verdict is tried again before the queue reports "
            "an infrastructure failure, and a failure of trunk itself before trunk counts as red.",
            2,
            0,
            100,
        ),
    },
)

APPROVAL = section(
    "A change of these paths waits for approvals.",
    {
        "paths": globs("Globs. A change of such a file is not tested until it is approved. They are compared as protect.", None),
        "by": text(
            "Whose approvals count. anybody: anyone but who submitted the change. person: the same, but no agent. "
            "Any other name: agents with a task of this role. Each rule is counted by itself: one agent may approve once "
            "in each role that it has a task of.",
            ANYBODY,
            pattern=NAME,
            **{"x-expected": "anybody, person or the name of a role of agents"},
        ),
        "count": number("How many different ones have to approve.", 1, 1, 100),
    },
    required=("paths",),
)

LIMITS = section(
    "What a change may hold at most, and what a gate or a session may use.",
    {
        "change_files": number("Files that a change may touch.", 10_000, 1, 10_000_000),
        "change_bytes": size("Bytes of all files that a change adds or alters.", "100MiB"),
        "depth": number(
            "Components of a path. Directories nested more than 200 deep are not supported and refused in any case.", 64, 1, 1000
        ),
        "path": number("Bytes of a path.", 1024, 1, 4096),
        "message": size("Bytes of a commit message.", "64KiB"),
        "allow_submodules": {
            "type": "boolean",
            "description": "Whether a change may add or move a submodule (a gitlink).",
            "default": False,
        },
        "allow_secrets": globs(
            "Files that a change may add a private key or an access token to, as globs: keys made for tests.", []
        ),
        "memory": size("Memory of a gate or a session. 0: no limit.", 0),
        "output": size("Output of a gate or a session that is kept. 0: no limit.", "64MiB"),
        "processes": number(
            "Processes that a gate or a session may have at a time, those in sessions of their own included; "
            "with more it is killed. 0: no limit.",
            2000,
            0,
            10_000_000,
        ),
        "file_size": size(
            "Bytes that a gate or a session may write to any one file; one that writes more gets SIGXFSZ. 0: no limit.", "8GiB"
        ),
    },
)

SCHEMA: Plain = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "agentctl policy",
    "type": "object",
    "description": "How agentctl judges changes and runs agents on this repository.",
    "properties": {
        "version": {"type": "integer", "description": "The version of this format.", "enum": [VERSION]},
        "trunk": text(
            "The protected branch. Only the bot moves it.",
            "main",
            pattern=BRANCH,
            **{"x-expected": "the name of a branch such as main (not refs/..., not agent/...)"},
        ),
        "remote": text(
            "The remote that the hub stands on, such as origin: what is true there counts, and each clone is a station. "
            "Without it, the hub is the repository itself.",
            "",
            pattern=REMOTE,
            **{"x-expected": "the name of a remote such as origin"},
        ),
        "publish": text(
            "A remote to which trunk is pushed after each landing, such as origin. What others push to trunk there is taken "
            "in: tested, and merged. For a hub that is not on a remote itself.",
            "",
            pattern=REMOTE,
            **{"x-expected": "the name of a remote such as origin"},
        ),
        "upstream": text(
            "A branch of the hub that people move and the bot may not, such as main, while trunk is a branch of the bot's "
            "own. What comes to it is taken in: tested, and merged.",
            "",
            pattern=BRANCH + r"|\A\Z",
            **{"x-expected": "the name of a branch such as main (not refs/..., not agent/...)"},
        ),
        "foreign": choice(
            "What becomes of trunk when somebody else moves it forward. adopt: the bot tests it and "
            "goes on from there. stop: nothing lands until a person says `agentctl bot adopt` or "
            "`agentctl bot restore`; so it always is with a move that is not forward.",
            "adopt",
            "adopt",
            "stop",
        ),
        "strategy": choice(
            "How a change lands. squash: as one commit. rebase: each of its commits, one after "
            "the other, or as one commit if merges are among them. merge: under a merge commit.",
            "squash",
            "squash",
            "rebase",
            "merge",
        ),
        "gates": {
            "type": "array",
            "description": "The gates, run in order on the staged tree. All must pass.",
            "minItems": 1,
            "items": GATE,
        },
        "slot": SLOT,
        "queue": QUEUE,
        "agents": AGENTS,
        "protect": globs(
            "Files that no change may touch, as globs. They are compared without regard to case and Unicode form. "
            "A change that would leave trunk without a valid policy is rejected, whatever stands here.",
            [".agentctl/**"],
        ),
        "approvals": {"type": "array", "description": "Rules: which changes others approve.", "default": [], "items": APPROVAL},
        "limits": LIMITS,
    },
    "required": ["version", "gates"],
    "additionalProperties": False,
}
