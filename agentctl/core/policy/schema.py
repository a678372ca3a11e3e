"""The JSON Schema (draft 2020-12) of a policy: the one source of its keys.

Validation, defaults, `policy explain`, `policy schema` and the values of the dataclasses all come from here. Two
annotations are agentctl's own: `x-expected` (what a value must be, in words) and `x-unit` (`seconds` or `bytes`: the
text is converted when it is read).
"""

from __future__ import annotations

from typing import Any

from agentctl.core.text.json_form import Plain
from agentctl.core.text.units import DURATION, LARGEST, SIZE

VERSION = 1
WORKER, PLANNER, REVIEWER = "worker", "planner", "reviewer"
"""The roles of agents that need not be in a policy."""
ANYBODY, PERSON = "anybody", "person"
"""Whose approvals a rule may ask for beside those of a role."""
SLOTS = 4096
"""The most gates that can run at the same time."""
PLACEHOLDERS = ("prompt", "prompt_file", "session", "task", "agent", "worktree", "attempt")

# The lookahead `(?!\n)` stands here because Python's `$` also matches before a last newline.
_END = r"$(?!\n)"
NAME = r"^(?!.*\.lock$)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,99}" + _END
_BRANCH = (
    r"^(?!refs/|agent/|HEAD$|@$|[-./])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)|[./]$))"
    r"[^\x00-\x20\x7f~^:?*\[\\]{1,200}" + _END
)
_PATH = r"^(?![/\\!-])(?!(?:.*/)?(?:\.{1,2}|\.git|)(?:/|$))[^\x00-\x1f\x7f]{1,1024}" + _END


def _text(description: str, default: str | None = None, **rest: Any) -> Plain:
    return _with_default({"type": "string", "description": description, **rest}, default)


def _with_default(schema: Plain, default: Any) -> Plain:
    return schema if default is None else {**schema, "default": default}


def _number(description: str, default: int, low: int, high: int) -> Plain:
    limits = {"minimum": low, "maximum": high}
    return {"type": "integer", "description": description, "default": default, **limits}


def _choice(description: str, default: str, *choices: str) -> Plain:
    return _text(description, default, enum=list(choices))


def _duration(description: str, default: str) -> Plain:
    words = "a duration such as 90s, 10m or 2h"
    unit = {"x-expected": words, "x-unit": "seconds"}
    return _text(description, default, pattern=DURATION, **unit)


def _size(description: str, default: str | int) -> Plain:
    return {
        "type": ["string", "integer"],
        "description": description,
        "default": default,
        "pattern": SIZE,
        "minimum": 0,
        "maximum": LARGEST,
        "x-expected": "a size such as 64KiB, 100MiB or 2GiB, or a number of bytes",
        "x-unit": "bytes",
    }


def _globs(description: str, default: list[str] | None) -> Plain:
    """Return the schema of a list of globs; one without a default must have at least one."""
    words = "a glob relative to the top, such as src/** (no / at either end, no .., no !)"
    item = {"type": "string", "pattern": _PATH, "x-expected": words}
    globs = {"type": "array", "description": description, "items": item}
    return {**globs, "minItems": 1} if default is None else {**globs, "default": default}


def _paths(description: str) -> Plain:
    words = "a path relative to the top, such as .venv (no / at either end, no ..)"
    item = {"type": "string", "pattern": _PATH, "x-expected": words}
    return {"type": "array", "description": description, "default": [], "items": item}


def _env(description: str) -> Plain:
    return {
        "type": "object",
        "description": description,
        "default": {},
        "propertyNames": {
            "pattern": r"^[A-Za-z_][A-Za-z0-9_]*" + _END,
            "x-expected": "a name of a variable (letters, digits and _)",
        },
        "additionalProperties": {"type": "string"},
    }


def _variables(description: str) -> Plain:
    words = "a name of a variable such as DATABASE_URL, or the beginning of names and a * such as AWS_*"
    item = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*\*?" + _END, "x-expected": words}
    return {"type": "array", "description": description, "default": [], "items": item}


def _section(description: str, properties: Plain, required: tuple[str, ...] = ()) -> Plain:
    section = {"type": "object", "description": description, "properties": properties, "additionalProperties": False}
    return {**section, "required": list(required)} if required else {**section, "default": {}}


_NAME_WORDS = "a name of letters, digits, '.', '_' and '-' (at most 100)"

GATE = _section(
    "A gate judges a staged tree.",
    {
        "name": _text(
            "What the gate is called in verdicts and logs. Unique in the policy.", pattern=NAME, **{"x-expected": _NAME_WORDS}
        ),
        "run": _text(
            "The command, run by sh -c at the top of a slot. Exit status 0 is passed, 125 is "
            "indeterminate: it is run again, and nobody is blamed, unless it goes on so and trunk without the "
            "changes passes. Anything else is failed.",
            pattern=r"\S",
            **{"x-expected": "a command to run by sh -c"},
        ),
        "timeout": _duration("A gate that runs longer is killed and has failed.", "10m"),
        "env": _env("Variables added to the gate's environment. Numbers and truth values need quotes."),
        "pass_env": _variables(
            "Variables of the bot's own environment that the gate gets besides those that hold no "
            "key (listed in agentctl-policy(5)). A gate runs the code of any change: it can read them."
        ),
        "paths": _globs(
            "Globs: all of the tree that the gate's verdict depends on. Where these are as they "
            "were when it passed, it is not run again; if all gates name paths, changes that "
            "different ones judge do not wait for each other. Empty: the whole tree.",
            [],
        ),
    },
    required=("name", "run"),
)

SLOT = _section(
    "The worktree that a gate runs in.",
    {
        "setup": _text(
            "A command, run by sh -c when a slot is made, and again when a file that "
            "setup_on names differs from the last run. It may take as long as the first gate; "
            "where it fails, and passes without the changes, they have failed. Empty: none.",
            "",
        ),
        "setup_on": _globs("Files whose change makes setup run again, as globs.", []),
        "pass_env": _variables("Variables of the bot's own environment that the setup gets, as gates.pass_env."),
        "keep": _paths("Untracked paths that are not cleaned away between runs, such as .venv."),
    },
)

QUEUE = _section(
    "The merge queue.",
    {
        "slots": _number("How many gates run at the same time.", 2, 1, SLOTS),
        "batch": _number("The most changes that one probe may test together.", 64, 1, 100_000),
        "rejection": _choice(
            "The proof a rejection needs. strict: a failed probe of trunk plus that one change. "
            "inference: a failed probe whose other changes have all landed, which is "
            "cheaper, and sound if adding a change never repairs a failure.",
            "strict",
            "strict",
            "inference",
        ),
        "retries": _number(
            "How often an indeterminate verdict is tried again before the queue reports "
            "an infrastructure failure, and a failure of trunk itself before trunk counts as red.",
            2,
            0,
            100,
        ),
    },
)


def _budget(what: str) -> Plain:
    return _section(
        f"{what} A limit of 0 is none. Turns, tokens and money count as far as the agent's program tells them.",
        {
            "turns": _number("Answers of the model.", 0, 0, 1_000_000_000),
            "tokens": _number("Tokens sent and received, without those that the provider had cached.", 0, 0, 10**15),
            "money": {"type": "number", "description": "US dollars.", "default": 0, "minimum": 0, "maximum": 1_000_000_000},
            "time": {
                **_duration("The time of its sessions together.", "0"),
                "pattern": rf"^0{_END}|{DURATION}",
                "x-expected": "a duration such as 90s, 10m or 2h, or 0",
            },
        },
    )


_PROGRAM = {
    "type": "array",
    "description": "The program and its arguments, without a shell. The placeholders "
    + ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
    + " are replaced in each; {session} is a folder for the session's own files. With another adapter than command: "
    "arguments that are added to what it runs.",
    "default": [],
    "items": {"type": "string"},
}

ROLE = _section(
    "A role of agents. What it leaves empty is as for all agents.",
    {
        "does": _choice(
            "What its sessions are for. work: they change files, and hand in commits. plan: they add tasks below their own, and "
            "are called again when these are over. review: they judge changes. The last two hand in no files.",
            "work",
            "work",
            "plan",
            "review",
        ),
        "adapter": _text("How its program is called: as agents.adapter.", ""),
        "command": {**_PROGRAM, "description": "As agents.command."},
        "model": _text("As agents.model.", ""),
        "env": _env("Variables added to the environment of its sessions."),
        "count": _number("How many of its sessions run at a time. 0: as many as there are agents.", 0, 0, 10_000),
        "budget": _budget("A session of this role that has used it up is ended."),
    },
)

AGENTS = _section(
    "The fleet of agents and their sessions.",
    {
        "adapter": _text(
            "How agents are started and understood: command, claude, codex, gemini, opencode, aider, mini-swe-agent, pi, qwen, "
            "cline, goose, cursor-agent, copilot or amp.",
            "command",
            pattern=NAME,
            **{"x-expected": "the name of an adapter such as command or claude"},
        ),
        "command": _PROGRAM,
        "model": _text("The model that the adapter's program is told to use. Empty: its own choice.", ""),
        "count": _number("How many agents work at the same time.", 4, 1, 10_000),
        "setup": _text("A command, run by sh -c in a new worktree of an agent. Empty: none.", ""),
        "timeout": _duration("A session that runs longer is ended.", "30m"),
        "attempts": _number("How many sessions a task gets before it is parked.", 3, 1, 1000),
        "dirty": _choice(
            "What happens to uncommitted files of a session that ends well. commit: they are "
            "committed and submitted; beside commits of the agent's own only new files that are not "
            "hidden: it forgot to add them. salvage: they are kept under a salvage ref, as is "
            "in any case what is not submitted.",
            "commit",
            "commit",
            "salvage",
        ),
        "on_failure": _choice(
            "What a failing exit status (other than 0 and 75) of an agent means. salvage: the "
            "session has failed; its work is kept under a salvage ref, for the next one. submit: "
            "nothing; what it left is judged as if the exit status were 0.",
            "salvage",
            "salvage",
            "submit",
        ),
        "backoff": _duration(
            "How long no session starts after a failure that is likely to hit every agent, such "
            "as a rate limit or a refused key. Then one is tried; each try that fails makes the "
            "pause longer, up to 10 times as long (20 times where only a person can help).",
            "30s",
        ),
        "env": _env("Variables added to the environment of every session."),
        "pass_env": _variables(
            "Variables of your environment that sessions get besides those that hold no key and "
            "what the adapter's program needs (listed in agentctl-policy(5))."
        ),
        "budget": _section(
            "What may be used up.",
            {
                "session": _budget("A session that has used it up is ended; its work is kept for the next one."),
                "task": _budget("A task whose sessions have used it up is parked."),
                "fleet": _budget("When the sessions of one `agentctl run` have used it up, all are ended, and so is the run."),
            },
        ),
        "resume": _choice(
            "Whether a session takes up the conversation of the one before it on its task, where program and agent are the "
            "same and the program can. repair: only to mend what was rejected. cut: also where the last one was cut off by a "
            "failure of the provider, or by a stop.",
            "never",
            "never",
            "repair",
            "cut",
        ),
        "headroom": _section(
            "What the machine must have left for another session to start; those that run go on.",
            {
                "disk": _size("Bytes free where the worktrees are.", "256MiB"),
                "memory": _size("Bytes of memory that can be used without swapping, where the system tells.", "128MiB"),
                "load": {
                    "type": "number",
                    "description": "The most processes that want to run, for each processor, over a minute. 0: no limit.",
                    "default": 0,
                    **{"minimum": 0, "maximum": 10_000},
                },
            },
        ),
        "context": _number("Tokens of one request at which a session is ended, and a fresh one goes on. 0: none.", 0, 0, 10**9),
        "roles": {
            "type": "object",
            "description": "Kinds of agents, by name; a task says whose it is. worker (work; of tasks that say nothing), planner "
            "(plan, one at a time) and reviewer (review) are there without a word, with the settings of all.",
            "default": {},
            "propertyNames": {"pattern": NAME, "x-expected": _NAME_WORDS},
            "additionalProperties": ROLE,
        },
        "behind": _number(
            "A session that conflicts with trunk, was told so, and is more than this many commits behind it is ended: its "
            "work is kept for the next one, which begins at trunk's new tip, and is not ended so. 0: it is only told.",
            0,
            0,
            1_000_000,
        ),
        "split_hot": {
            "type": "boolean",
            "description": "Whether a task to split a file is opened, once, when many changes were rejected lately because they "
            "conflict in it. Tasks that declare such a file are worked on one at a time in any case.",
            "default": False,
        },
        "silence": _duration(
            "A session is stuck when its output, commits, files and processor time have all been flat for this long.", "10m"
        ),
    },
)

APPROVAL = _section(
    "A change of these paths waits for approvals.",
    {
        "paths": _globs("Globs. A change of such a file is not tested until it is approved. They are compared as protect.", None),
        "by": _text(
            "Whose approvals count. anybody: anyone but who submitted the change. person: the same, but no agent. "
            "Any other name: agents with a task of this role.",
            ANYBODY,
            pattern=NAME,
            **{"x-expected": "anybody, person or the name of a role of agents"},
        ),
        "count": _number("How many have to approve.", 1, 1, 100),
    },
    required=("paths",),
)

LIMITS = _section(
    "What a change may hold at most, and what a gate or a session may use.",
    {
        "change_files": _number("Files that a change may touch.", 10_000, 1, 10_000_000),
        "change_bytes": _size("Bytes of all files that a change adds or alters.", "100MiB"),
        "depth": _number(
            "Components of a path. Directories nested more than 200 deep are not supported and refused in any case.", 64, 1, 1000
        ),
        "path": _number("Bytes of a path.", 1024, 1, 4096),
        "message": _size("Bytes of a commit message.", "64KiB"),
        "allow_submodules": {
            "type": "boolean",
            "description": "Whether a change may add or move a submodule (a gitlink).",
            "default": False,
        },
        "allow_secrets": _globs(
            "Files that a change may add a private key or an access token to, as globs: keys made for tests.", []
        ),
        "memory": _size("Memory of a gate or a session. 0: no limit.", 0),
        "output": _size("Output of a gate or a session that is kept. 0: no limit.", "64MiB"),
        "processes": _number(
            "Processes that a gate or a session may have at a time, those in sessions of their own included; "
            "with more it is killed. 0: no limit.",
            2000,
            0,
            10_000_000,
        ),
        "file_size": _size(
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
        "trunk": _text(
            "The protected branch. Only the bot moves it.",
            "main",
            pattern=_BRANCH,
            **{"x-expected": "the name of a branch such as main (not refs/..., not agent/...)"},
        ),
        "foreign": _choice(
            "What becomes of trunk when somebody else moves it forward. adopt: the bot tests it and "
            "goes on from there. stop: nothing lands until a person says `agentctl bot adopt` or "
            "`agentctl bot restore`; so it always is with a move that is not forward.",
            "adopt",
            "adopt",
            "stop",
        ),
        "strategy": _choice(
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
        "protect": _globs(
            "Files that no change may touch, as globs. They are compared without regard to case and Unicode form.",
            [".agentctl/**"],
        ),
        "approvals": {"type": "array", "description": "Rules: which changes others approve.", "default": [], "items": APPROVAL},
        "limits": LIMITS,
    },
    "required": ["version", "gates"],
    "additionalProperties": False,
}
