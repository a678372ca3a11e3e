"""The keys of a policy below `agents`: the fleet, its sessions, and its roles."""

from __future__ import annotations

from agentctl.core.policy.schema_kinds import (
    END,
    NAME,
    NAME_WORDS,
    choice,
    duration,
    env,
    globs,
    number,
    section,
    size,
    text,
    variables,
)
from agentctl.core.text.json_form import Plain
from agentctl.core.text.units import DURATION

PLACEHOLDERS = ("prompt", "prompt_file", "session", "task", "agent", "worktree", "attempt")


def _budget(what: str) -> Plain:
    return section(
        f"{what} A limit of 0 is none. Turns, tokens and money count as far as the agent's program tells them; "
        "some, such as claude, tell money only when a session is over: tokens or turns end one in time.",
        {
            "turns": number("Answers of the model.", 0, 0, 1_000_000_000),
            "tokens": number("Tokens sent and received, without those that the provider had cached.", 0, 0, 10**15),
            "money": {"type": "number", "description": "US dollars.", "default": 0, "minimum": 0, "maximum": 1_000_000_000},
            "time": {
                **duration("The time of its sessions together.", "0"),
                "pattern": rf"^0{END}|{DURATION}",
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

ROLE = section(
    "A role of agents. What it leaves empty is as for all agents.",
    {
        "does": {
            "type": "string",
            "description": "What its sessions are for. work: they change files, and hand in commits. plan: they add tasks below "
            "their own, and are called again when these are over. review: they judge changes. The last two hand in no files. "
            "Without it: plan for planner, review for reviewer, work for any other.",
            "enum": ["work", "plan", "review"],
        },
        "adapter": text("How its program is called: as agents.adapter.", ""),
        "command": {**_PROGRAM, "description": "As agents.command."},
        "model": text("As agents.model.", ""),
        "env": env("Variables added to the environment of its sessions."),
        "count": number("How many of its sessions run at a time. 0: as many as there are agents.", 0, 0, 10_000),
        "budget": _budget("A session of this role that has used it up is ended."),
    },
)

AGENTS = section(
    "The fleet of agents and their sessions.",
    {
        "adapter": text(
            "How agents are started and understood: command, claude, codex, gemini, opencode, aider, mini-swe-agent, pi, qwen, "
            "cline, goose, cursor-agent, copilot or amp.",
            "command",
            pattern=NAME,
            **{"x-expected": "the name of an adapter such as command or claude"},
        ),
        "command": _PROGRAM,
        "model": text("The model that the adapter's program is told to use. Empty: its own choice.", ""),
        "count": number("How many agents work at the same time, unless agentctl scale says another number.", 4, 1, 10_000),
        "setup": text(
            "A command, run by sh -c in a new worktree of an agent, and anew if what it made is gone or "
            "changed. What it makes is no part of a change; files of trunk that it edits are, if the agent "
            "commits them. Empty: none.",
            "",
        ),
        "setup_on": globs("Files of trunk whose change makes setup run again, as globs.", []),
        "timeout": duration("A session that runs longer is ended.", "30m"),
        "attempts": number("How many sessions a task gets before it is parked.", 3, 1, 1000),
        "dirty": choice(
            "What happens to uncommitted files of a session that ends well. commit: if the agent has "
            "committed nothing, all are committed and submitted but new files that are hidden, or in __pycache__ or node_modules. all: so are new "
            "files beside commits of its own, as if it forgot to add them, unless they stand in the place of a "
            "file or folder of these. salvage: nothing is. What is not "
            "submitted is kept under a salvage ref, and the next session is told.",
            "commit",
            "commit",
            "all",
            "salvage",
        ),
        "on_failure": choice(
            "What a failing exit status (other than 0 and 75) of an agent means. salvage: the "
            "session has failed; its work is kept under a salvage ref, for the next one. submit: "
            "nothing; what it left is judged as if the exit status were 0.",
            "salvage",
            "salvage",
            "submit",
        ),
        "backoff": duration(
            "How long no session starts after a failure that is likely to hit every agent, such "
            "as a rate limit or a refused key. Then one is tried; each try that fails makes the "
            "pause longer, up to 10 times as long (20 times where only a person can help).",
            "30s",
        ),
        "env": env("Variables added to the environment of every session."),
        "pass_env": variables(
            "Variables of your environment that sessions get besides those that hold no key and "
            "what the adapter's program needs (listed in agentctl-policy(5))."
        ),
        "budget": section(
            "What may be used up.",
            {
                "session": _budget("A session that has used it up is ended; its work is kept for the next one."),
                "task": _budget("A task whose sessions have used it up is parked."),
                "fleet": _budget("When the sessions of one `agentctl run` have used it up, all are ended, and so is the run."),
            },
        ),
        "resume": choice(
            "Whether a session takes up the conversation of the one before it on its task, where program and agent are the "
            "same and the program can. repair: only to mend what was rejected. cut: also where the last one was cut off by a "
            "failure of the provider, or by a stop.",
            "never",
            "never",
            "repair",
            "cut",
        ),
        "headroom": section(
            "What the machine must have left for another session to start; those that run go on.",
            {
                "disk": size("Bytes free where the worktrees are.", "256MiB"),
                "memory": size("Bytes of memory that can be used without swapping, where the system tells.", "128MiB"),
                "load": {
                    "type": "number",
                    "description": "The most processes that want to run, for each processor, over a minute. 0: no limit.",
                    "default": 0,
                    **{"minimum": 0, "maximum": 10_000},
                },
            },
        ),
        "context": number("Tokens of one request at which a session is ended, and a fresh one goes on. 0: none.", 0, 0, 10**9),
        "roles": {
            "type": "object",
            "description": "Kinds of agents, by name; a task says whose it is. worker (work; of tasks that say nothing), planner "
            "(plan, one at a time) and reviewer (review) are there without a word, with the settings of all.",
            "default": {},
            "propertyNames": {"pattern": NAME, "x-expected": NAME_WORDS},
            "additionalProperties": ROLE,
        },
        "behind": number(
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
        "silence": duration(
            "A session is stuck when its output, commits, files and processor time have all been flat for this long, or three "
            "times as long while it has child processes, or before its first sign of life.",
            "10m",
        ),
    },
)
