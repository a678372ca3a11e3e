"""Real agent programs: how each is installed, and how its user would point it at a model on loopback.

    python -m tests.support.agent_programs DIR      install those that are not below DIR yet

Node programs go to DIR/n_NAME, those of Python to DIR/v_NAME.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.model_server import MODEL

WHERE = "AGENTCTL_TEST_AGENTS"
"""The environment variable that names the folder with the programs."""


@dataclass(frozen=True)
class Program:
    adapter: str
    """The name of agentctl's adapter for it."""
    place: str
    """Its folder below that of all programs."""
    package: str
    """The name of its package on npm or PyPI."""
    newest: str
    """The version that is installed."""
    env: Callable[[str], dict[str, str]]
    """Environment variables that its user sets, given the model's address."""
    files: Callable[[str], dict[str, object]] = field(default=lambda url: {})
    """Files of its user's home by path, as values for JSON or as text, given the model's address."""
    first: tuple[str, ...] = ()
    """Arguments with which its user runs it once before all else; {url} is the model's address."""
    besides: tuple[str, ...] = ()
    """Packages that its own does not name, but that it needs."""
    mute: tuple[str, ...] = ()
    """Faults of the provider in which it tries again and again without a word."""
    tools: bool = True
    """False if it reads edits from the text of an answer, and commits them itself."""

    @property
    def node(self) -> bool:
        return self.place.startswith("n_")

    def folder(self, all_programs: str) -> str:
        """Return the folder with its executables; empty if it is not installed."""
        path = os.path.join(all_programs, self.place, "node_modules/.bin" if self.node else "bin")
        return path if shutil.which(self.executable, path=path) else ""

    @property
    def executable(self) -> str:
        return {"mini-swe-agent": "mini"}.get(self.adapter, self.adapter)

    def version(self, all_programs: str) -> str:
        place = Path(all_programs, self.place)
        if self.node:
            return str(json.loads((place / "node_modules" / self.package / "package.json").read_text())["version"])
        found = next(place.glob(f"lib/python*/site-packages/{self.package.replace('-', '_')}-*.dist-info"))
        return found.name.removesuffix(".dist-info").rpartition("-")[2]


def _openai(url: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": "fake", "OPENAI_API_BASE": f"{url}/v1", "OPENAI_BASE_URL": f"{url}/v1"}


def _codex(url: str) -> dict[str, object]:
    provider = f'name = "fake"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n'
    return {".codex/config.toml": f'model = "{MODEL}"\nmodel_provider = "fake"\n[model_providers.fake]\n{provider}'}


def _opencode(url: str) -> dict[str, object]:
    model = {"name": "fake", "tool_call": True, "limit": {"context": 200_000, "output": 8000}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "fake", "options": {"baseURL": f"{url}/v1", "apiKey": "fake"}}
    names = {"model": f"fake/{MODEL}", "small_model": f"fake/{MODEL}", "autoupdate": False, "share": "disabled"}
    return {".config/opencode/opencode.json": names | {"provider": {"fake": provider | {"models": {MODEL: model}}}}}


def _gemini(url: str) -> dict[str, object]:
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"disableAutoUpdate": True}}
    quiet = {"privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False}}
    return {".gemini/settings.json": settings | quiet | {"model": {"name": "gemini-2.5-flash"}}}


def _pi(url: str) -> dict[str, object]:
    cost = {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0}
    model = {"id": MODEL, "name": "fake", "reasoning": False, "input": ["text"], "cost": cost}
    models = [model | {"contextWindow": 200_000, "maxTokens": 8000}]
    provider = {"baseUrl": f"{url}/v1", "api": "openai-completions", "apiKey": "fake", "models": models}
    return {
        ".pi/agent/models.json": {"providers": {"fake": provider}},
        ".pi/agent/settings.json": {"defaultProvider": "fake", "defaultModel": MODEL},
    }


def _qwen(url: str) -> dict[str, object]:
    general = {"disableAutoUpdate": True, "enableAutoUpdate": False}
    settings = {"security": {"auth": {"selectedType": "openai"}}, "general": general}
    return {".qwen/settings.json": settings | {"privacy": {"usageStatisticsEnabled": False}}}


LITELLM = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

PROGRAMS: dict[str, Program] = {
    program.adapter: program
    for program in (
        Program(
            "claude",
            "n_claude",
            "@anthropic-ai/claude-code",
            "2.1.197",
            lambda url: {
                "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_API_KEY": "sk-ant-fake",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
            lambda url: {".claude/settings.json": {"env": {"DISABLE_AUTOUPDATER": "1"}}},
        ),
        Program("codex", "n_codex", "@openai/codex", "0.171.0", lambda url: {"OPENAI_API_KEY": "fake"}, _codex),
        Program(
            "gemini",
            "n_gemini",
            "@google/gemini-cli",
            "0.61.0",
            lambda url: {"GEMINI_API_KEY": "fake", "GOOGLE_GEMINI_BASE_URL": url, "GEMINI_TELEMETRY_ENABLED": "false"},
            _gemini,
        ),
        Program(
            "opencode",
            "n_opencode",
            "opencode-ai",
            "1.18.33",
            lambda url: {f"OPENCODE_DISABLE_{what}": "1" for what in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD")},
            _opencode,
            # It makes its database: of two that do so at the same time one crashes.
            first=("session", "list"),
        ),
        Program(
            "aider",
            "v_aider",
            "aider-chat",
            "0.86.2",
            lambda url: {
                **_openai(url),
                **LITELLM,
                "AIDER_MODEL": f"openai/{MODEL}",
                "AIDER_WEAK_MODEL": f"openai/{MODEL}",
                "AIDER_EDIT_FORMAT": "diff",
                "AIDER_ANALYTICS": "false",
            },
            tools=False,
        ),
        Program(
            "mini-swe-agent",
            "v_mini",
            "mini-swe-agent",
            "2.4.6",
            lambda url: {
                **_openai(url),
                **LITELLM,
                "MSWEA_CONFIGURED": "true",
                "MSWEA_MODEL_NAME": f"openai/{MODEL}",
                "MSWEA_COST_TRACKING": "ignore_errors",
            },
            besides=("mcp",),
            mute=("429, retry after 120 s",),
        ),
        Program(
            "pi",
            "n_pi",
            "@mariozechner/pi-coding-agent",
            "0.73.1",
            lambda url: {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1"},
            _pi,
            mute=("429, retry after 120 s",),
        ),
        Program(
            "qwen",
            "n_qwen",
            "@qwen-code/qwen-code",
            "0.15.10",
            lambda url: {**_openai(url), "OPENAI_MODEL": MODEL},
            _qwen,
            mute=("429, retry after 120 s", "500 without end"),
        ),
        Program(
            "cline",
            "n_cline",
            "cline",
            "3.0.65",
            lambda url: {"CLINE_TELEMETRY_DISABLED": "1", "CLINE_NO_AUTO_UPDATE": "1"},
            mute=("429, retry after 120 s", "500 without end", "nobody listens"),
            first=("auth", "-p", "openai", "-k", "fake", "-m", MODEL, "-b", "{url}/v1"),
        ),
    )
}


def install(program: Program, all_programs: str) -> None:
    place = Path(all_programs, program.place)
    place.mkdir(parents=True, exist_ok=True)
    if program.node:
        (place / "package.json").write_text('{"private": true}')
        words = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"{program.package}@{program.newest}"]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        words = [str(place / "bin/pip"), "install", "-q", f"{program.package}=={program.newest}", *program.besides]
    subprocess.run(words, cwd=place, check=True, stdin=subprocess.DEVNULL)


def seal(program: Program, all_programs: str, home: str, url: str) -> dict[str, str]:
    """Fill a new home for the program, and return the environment of its user, with nothing of ours in it."""
    for path, value in {".gitconfig": "[user]\n\tname = Dev\n\temail = dev@example.invalid\n", **program.files(url)}.items():
        full = Path(home, path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(value if isinstance(value, str) else json.dumps(value))
    executable = os.path.join(program.folder(all_programs), program.executable)
    Path(home, ".local/bin").mkdir(parents=True)
    os.symlink(os.path.realpath(executable), Path(home, ".local/bin", program.executable))
    tools = dict.fromkeys(os.path.dirname(found) for name in ("git", "node", "python3") if (found := shutil.which(name)))
    path = ":".join([f"{home}/.local/bin", *tools, "/usr/local/bin", "/usr/bin", "/bin"])
    env = {"HOME": home, "PATH": path, "USER": "dev", "LANG": "C.UTF-8", "TERM": "dumb", "TZ": "UTC", **program.env(url)}
    if program.first:
        words = [program.executable, *(word.format(url=url) for word in program.first)]
        subprocess.run(words, env=env, cwd=home, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return env


if __name__ == "__main__":
    for wanted in PROGRAMS.values():
        if not wanted.folder(sys.argv[1]):
            print(f"installing {wanted.package} {wanted.newest}", flush=True)
            install(wanted, sys.argv[1])
        print(f"{wanted.adapter} {wanted.version(sys.argv[1])}")
