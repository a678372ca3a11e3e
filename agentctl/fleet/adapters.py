"""Agent programs as data: how each is called. Adding one is one entry.

In an argument, {prompt}, {prompt_file}, {task}, {agent}, {worktree} and {attempt} are
replaced. Flags rot: `agentctl doctor` looks whether a program is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from agentctl.errors import NotFound, UsageError

LONGEST = 100_000
"""Bytes of a prompt given as an argument; Linux refuses one over 128 KiB."""


@dataclass(frozen=True, slots=True)
class Adapter:
    argv: tuple[str, ...]
    install: str = ""
    stdin: bool = False
    """The prompt is its standard input; else that is empty."""
    passes: tuple[str, ...] = ()
    """Variables that the program is given besides those that hold no key, as it documents them."""


ANTHROPIC, OPENAI, GOOGLE = ("ANTHROPIC_*",), ("OPENAI_*",), ("GEMINI_*", "GOOGLE_API_KEY", "GOOGLE_GENAI_*")
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
"""What a program is given that may call any provider of models."""
PROGRAMS = ("CLAUDE_*", "CODEX_*", "OPENCODE_*", "AIDER_*", "MSWEA_*", "GOOSE_*", "CURSOR_*", "AMP_*", "QWEN_*")
"""Settings of agent programs."""

ADAPTERS: dict[str, Adapter] = {
    "command": Adapter((), stdin=True, passes=(*PROVIDERS, *PROGRAMS)),
    "claude": Adapter(
        ("claude", "-p", "{prompt}", "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions"),
        "npm install -g @anthropic-ai/claude-code",
        passes=(*ANTHROPIC, "CLAUDE_*"),
    ),
    "codex": Adapter(
        ("codex", "exec", "--json", "--sandbox", "workspace-write", "-c", 'approval_policy="never"', "{prompt}"),
        "npm install -g @openai/codex",
        passes=(*OPENAI, "CODEX_*"),
    ),
    "gemini": Adapter(
        ("gemini", "-p", "{prompt}", "--output-format", "stream-json", "--approval-mode", "yolo"),
        "npm install -g @google/gemini-cli",
        passes=(*GOOGLE, "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"),
    ),
    "opencode": Adapter(
        ("opencode", "run", "--format", "json", "{prompt}"), "npm install -g opencode-ai", passes=(*PROVIDERS, "OPENCODE_*")
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
            "--input-history-file",
            "/dev/null",
            "--chat-history-file",
            "/dev/null",
        ),
        "pip install aider-chat",
        passes=(*PROVIDERS, "AIDER_*"),
    ),
    "mini-swe-agent": Adapter(
        ("mini", "-t", "{prompt}", "-y", "--exit-immediately"), "pip install mini-swe-agent", passes=(*PROVIDERS, "MSWEA_*")
    ),
}


def lookup(name: str) -> Adapter:
    if name not in ADAPTERS:
        raise UsageError(f"there is no adapter {name!r}", hint="one of: " + ", ".join(ADAPTERS))
    return ADAPTERS[name]


def command(name: str, given: tuple[str, ...], in_tree: Callable[[str], bool]) -> tuple[str, ...]:
    """The argument vector, placeholders in it, of adapter `name`; `given` is the user's own.

    For `command` it is the user's; for others the user's arguments are added at the end. A relative path is
    a file of the agent's worktree, as `in_tree` knows. Raises UsageError without a command, NotFound if the program
    is not there.
    """
    adapter = lookup(name)
    argv = adapter.argv + given
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
    # With a relative folder on the PATH it is not the agent's worktree that is meant.
    return argv if os.path.isabs(found) else (os.path.abspath(found), *argv[1:])


def filled(argv: tuple[str, ...], prompt: str, values: dict[str, str]) -> tuple[str, ...]:
    """`argv` with its placeholders replaced, by one pass: what a prompt holds is left alone."""
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
