"""Agent programs as data: each entry says how one is called, and a new program is a new entry.

In an argument, {prompt}, {prompt_file}, {session}, {task}, {agent}, {worktree} and {attempt} are replaced. The flags of a
program change with time; `agentctl doctor` only looks whether a program is there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from agentctl.core.tasks import stream
from agentctl.core.tasks.stream import Reader
from agentctl.errors import NotFound, UsageError
from agentctl.fleet import session_folder

LONGEST = 100_000
"""The most bytes of a prompt that is given as an argument; Linux refuses one over 128 KiB."""


@dataclass(frozen=True, slots=True)
class Adapter:
    argv: tuple[str, ...]
    install: str = ""
    stdin: bool = False
    """True if the prompt is the program's standard input, which is empty otherwise."""
    passes: tuple[str, ...] = ()
    """Environment variables that the program is given besides those that hold no key; its documentation names them."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables that are set for the program, unless the policy sets them otherwise."""
    reads: Reader = stream.nothing
    """Reads what the program prints."""
    model: tuple[str, ...] = ("--model",)
    """The arguments in front of a model's name; empty if the program takes none."""
    resumed: tuple[str, ...] = ()
    """What stands in the place of `argv` to take up a conversation; empty if the program cannot."""


NONE = Adapter(())
"""For a command that is no agent's program."""

ANTHROPIC, OPENAI, GOOGLE = ("ANTHROPIC_*",), ("OPENAI_*",), ("GEMINI_*", "GOOGLE_API_KEY", "GOOGLE_GEMINI_*", "GOOGLE_GENAI_*")
PROVIDERS = (
    *ANTHROPIC,
    *OPENAI,
    *GOOGLE,
    "AZURE_OPENAI_*",
    "AZURE_API_*",
    "OPENROUTER_*",
    "DEEPSEEK_*",
    "MISTRAL_*",
    "GROQ_*",
    "XAI_*",
    "TOGETHER_*",
    "TOGETHERAI_*",
    "FIREWORKS_*",
    "CEREBRAS_*",
    "COHERE_*",
    "MOONSHOT_*",
    "DASHSCOPE_*",
    "ZAI_*",
    "ZHIPUAI_*",
    "MINIMAX_*",
    "OLLAMA_*",
    "LM_STUDIO_*",
    "LITELLM_*",
)
"""Environment variables for a program that may call any provider of models."""
PROGRAMS = (
    "CLAUDE_*",
    "CODEX_*",
    "OPENCODE_*",
    "AIDER_*",
    "MSWEA_*",
    "PI_*",
    "QWEN_*",
    "CLINE_*",
    "GOOSE_*",
    "CURSOR_*",
    "COPILOT_*",
    "AMP_*",
)
"""Environment variables that are settings of agent programs."""

TELLS_NEWS = (
    f'[ -n "${session_folder.VARIABLE}" ] || exit 0; '
    f'news="${session_folder.VARIABLE}/{session_folder.NEWS}"; [ -s "$news" ] || {{ rm -f "$news.told"; exit 0; }}; '
    'cmp -s "$news" "$news.told" || { cp "$news" "$news.told"; cat "$news" >&2; exit 2; }'
)
"""What claude runs after each use of a tool: exit status 2 has it tell its model what was printed, once for all news."""

_CLAUDE = (
    "-p",
    "{prompt}",
    "--output-format",
    "stream-json",
    "--verbose",
    "--permission-mode",
    "bypassPermissions",
    "--settings",
    json.dumps({"hooks": {"PostToolUse": [{"hooks": [{"type": "command", "command": TELLS_NEWS}]}]}}),
)

_CODEX = (
    "--json",
    # Its own sandbox makes the Git directory of the worktree read-only, so that no commit succeeds.
    "--dangerously-bypass-approvals-and-sandbox",
    # A login shell takes the PATH from the machine's profile, and agentctl may not be on that.
    "-c",
    "allow_login_shell=false",
)

ADAPTERS: dict[str, Adapter] = {
    "command": Adapter((), stdin=True, passes=(*PROVIDERS, *PROGRAMS)),
    "claude": Adapter(
        ("claude", *_CLAUDE),
        "npm install -g @anthropic-ai/claude-code",
        passes=(*ANTHROPIC, "CLAUDE_*"),
        # Without it the program refuses that permission mode to root.
        env={"IS_SANDBOX": "1"},
        reads=stream.claude,
        resumed=("claude", "--resume", "{conversation}", *_CLAUDE),
    ),
    "codex": Adapter(
        ("codex", "exec", *_CODEX, "{prompt}"),
        "npm install -g @openai/codex",
        passes=(*OPENAI, "CODEX_*"),
        reads=stream.codex,
        resumed=("codex", "exec", "resume", *_CODEX, "{conversation}", "{prompt}"),
    ),
    "gemini": Adapter(
        # In a folder that nobody has called trusted, it asks in spite of yolo.
        ("gemini", "-p", "{prompt}", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"),
        "npm install -g @google/gemini-cli",
        passes=(*GOOGLE, "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"),
        reads=stream.gemini,
    ),
    "opencode": Adapter(
        # Without its log it says nothing while it retries.
        ("opencode", "run", "--format", "json", "--print-logs", "--log-level", "ERROR", "{prompt}"),
        "npm install -g opencode-ai",
        passes=(*PROVIDERS, "OPENCODE_*"),
        reads=stream.opencode,
        resumed=(
            "opencode",
            "run",
            "--session",
            "{conversation}",
            "--format",
            "json",
            "--print-logs",
            "--log-level",
            "ERROR",
            "{prompt}",
        ),
    ),
    "aider": Adapter(
        (
            "aider",
            "--message-file",
            "{prompt_file}",
            "--yes-always",
            "--no-stream",
            "--no-pretty",
            "--no-check-update",
            "--no-gitignore",
            "--no-show-release-notes",
            "--no-suggest-shell-commands",
            "--no-detect-urls",
            "--input-history-file",
            "/dev/null",
            "--chat-history-file",
            "/dev/null",
            # The map's cache is a folder in the worktree, which would land with the change.
            "--map-tokens",
            "0",
        ),
        "pip install aider-chat",
        passes=(*PROVIDERS, "AIDER_*"),
        reads=stream.aider,
    ),
    "mini-swe-agent": Adapter(
        # Each session has a trajectory of its own; by default all write the same file.
        ("mini", "-t", "{prompt}", "-y", "--exit-immediately", "-o", "{session}/trajectory.json"),
        "pip install mini-swe-agent",
        passes=(*PROVIDERS, "MSWEA_*"),
        reads=stream.mini,
    ),
    "pi": Adapter(
        ("pi", "-p", "--mode", "json", "--no-session", "{prompt}"),
        "npm install -g @mariozechner/pi-coding-agent",
        passes=(*PROVIDERS, "PI_*"),
        reads=stream.pi,
    ),
    "qwen": Adapter(
        ("qwen", "--yolo", "--output-format", "stream-json", "-p", "{prompt}"),
        "npm install -g @qwen-code/qwen-code",
        passes=(*OPENAI, "DASHSCOPE_*", "QWEN_*"),
        reads=stream.claude,
    ),
    "cline": Adapter(
        ("cline", "-y", "--json", "{prompt}"), "npm install -g cline", passes=(*PROVIDERS, "CLINE_*"), reads=stream.cline
    ),
    "goose": Adapter(
        ("goose", "run", "--no-session", "--output-format", "stream-json", "-t", "{prompt}"),
        "see https://block.github.io/goose for how to install it",
        passes=(*PROVIDERS, "GOOSE_*"),
        env={"GOOSE_MODE": "auto"},
        reads=stream.goose,
    ),
    "cursor-agent": Adapter(
        ("cursor-agent", "-p", "--force", "--output-format", "stream-json", "{prompt}"),
        "see https://cursor.com/cli for how to install it",
        passes=("CURSOR_*",),
        reads=stream.claude,
    ),
    "copilot": Adapter(
        ("copilot", "-p", "{prompt}", "--allow-all-tools"), "npm install -g @github/copilot", passes=("COPILOT_*",)
    ),
    "amp": Adapter(
        ("amp", "--execute", "{prompt}", "--dangerously-allow-all", "--stream-json"),
        "npm install -g @sourcegraph/amp",
        passes=("AMP_*",),
        reads=stream.claude,
        model=(),
    ),
}


def lookup(name: str) -> Adapter:
    if name not in ADAPTERS:
        raise UsageError(f"there is no adapter {name!r}", hint="one of: " + ", ".join(ADAPTERS))
    return ADAPTERS[name]


def reader(name: str, argv: tuple[str, ...]) -> Reader:
    """Return what reads the output of a program that adapter `name` calls; a command is known by its program's name."""
    program = os.path.basename(argv[0]) if argv else ""
    known = (a.reads for a in ADAPTERS.values() if a.argv and a.argv[0] == program)
    return ADAPTERS[name].reads if name != "command" else next(known, stream.nothing)


def resuming(name: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the argument vector that takes up a conversation, from the one that begins one; empty if that cannot be."""
    adapter = ADAPTERS[name]
    own = len(adapter.argv)
    if not adapter.resumed or argv[1:own] != adapter.argv[1:]:
        return ()
    return (argv[0], *adapter.resumed[1:], *argv[own:])


def command(name: str, given: tuple[str, ...], in_tree: Callable[[str], bool], model: str = "") -> tuple[str, ...]:
    """Return the argument vector of adapter `name`, placeholders still in it; `given` is the user's own.

    For the adapter `command` the whole vector is the user's; for others the user's arguments are added at the end. A
    relative path of a program is a file of the agent's worktree, and `in_tree` tells whether it is there. Raises
    UsageError without a command, or for a model that the program cannot be told, and NotFound if the program is not there.
    """
    adapter = lookup(name)
    if model and not (adapter.model and adapter.argv):
        raise UsageError(f"the adapter {name!r} takes no model", hint="remove agents.model; name the model in agents.command")
    argv = adapter.argv + ((*adapter.model, model) if model else ()) + given
    if not argv:
        raise UsageError(
            "no agent command given",
            hint="agentctl run TASKS -- COMMAND..., or set `agents: {adapter: claude}` in .agentctl/policy.yaml",
        )
    program = argv[0]
    if "/" in program and not os.path.isabs(program):
        if not in_tree(program):
            raise NotFound(
                f"the agent's program {program!r} is neither here nor a file of trunk",
                hint="check the command after --, or commit the program",
            )
        return argv
    found = shutil.which(program)
    if not found:
        raise NotFound(
            f"the agent's program {program!r} is not on the PATH", hint=adapter.install or "check the command after --"
        )
    # A relative folder on the PATH is not meant to be one of the agent's worktree.
    return argv if os.path.isabs(found) else (os.path.abspath(found), *argv[1:])


def filled(argv: tuple[str, ...], prompt: str, values: dict[str, str]) -> tuple[str, ...]:
    """Return `argv` with its placeholders replaced in one pass: braces in a prompt are left alone.

    Instead of a prompt that is too long for an argument, the program is told to read the prompt's file.
    """
    if len(prompt.encode()) > LONGEST:
        prompt = f"Read the file {values['prompt_file']} and do what it says."
    values = values | {"prompt": prompt}
    return tuple(_replace(word, values) for word in argv)


def _replace(word: str, values: dict[str, str]) -> str:
    out, rest = "", word
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, closed, tail = after.partition("}")
        if closed and name in values:
            out, rest = out + before + values[name], tail
        else:
            out, rest = out + before + "{", after
    return out + rest
