"""The manual pages of the commands, made from the command tree.

`python -m agentctl.commands.manpages [FOLDER]` rewrites man/man1 (of FOLDER, default man/
of this checkout). The text depends on the command tree alone: no date, no terminal.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator

import click

from agentctl.commands.data import data_path
from agentctl.commands.parser import SECTIONS, root

WIDTH = 88
"""Columns of a line of source; man fills paragraphs itself."""

EXIT = (
    ("0", "done"),
    ("1", "an error of no other kind, or a session without a result"),
    ("2", "wrong usage"),
    ("3", "invalid policy or configuration"),
    ("4", "not found: no repository, no such task, change or agent"),
    ("5", "refused, by the policy or to keep work safe"),
    ("6", "a conflict when merging"),
    ("7", "a gate failed, or a change was rejected"),
    ("8", "somebody else was first, or holds the lock: try again"),
    ("9", "agentctl doctor or agentctl verify has findings"),
    ("124", "out of time"),
    ("125", "the machine failed: no change is to blame"),
    ("130, 143", "ended by SIGINT, by SIGTERM"),
)

FILES = (
    (".agentctl/policy.yaml", "the policy, read from trunk's tip; see agentctl-policy(5)"),
    ("refs/agentctl/", "everything that is shared; see agentctl-refs(7)"),
    (".git/agentctl/", "lock files, logs and prompts of this machine"),
    ("REPO.agentctl/", "worktrees of agents and gates, beside the repository; "
                       "git config agentctl.worktrees DIR moves them"),
)


def pages() -> dict[str, str]:
    """Text by file name, of agentctl.1 and of each command's page."""
    ctx = click.Context(root, info_name="agentctl")
    made = {"agentctl.1": "\n".join(_main(ctx)) + "\n"}
    for names in SECTIONS.values():
        for name in names:
            sub = click.Context(root.get_command(ctx, name), parent=ctx, info_name=name)
            made[f"agentctl-{name}.1"] = "\n".join(_page(sub, names)) + "\n"
    return made


def _main(ctx: click.Context) -> Iterator[str]:
    yield from _head("agentctl", _first(ctx.command))
    yield ".SH SYNOPSIS"
    yield _usage(ctx)
    yield from _description(ctx.command)
    for title, names in SECTIONS.items():
        yield f".SS {escape(title)}"
        for name in names:
            yield from _entry(f"agentctl {name}", _first(root.get_command(ctx, name)) + ".")
    yield from _options(ctx.command)
    yield ".SH EXAMPLES"
    yield from _code(["agentctl init", "git add -A && git commit -m 'agentctl: add the policy'",
                      "agentctl task add 'Fix the crash on empty input'",
                      "agentctl run --agents 4 -- claude -p '{prompt}'", "agentctl why CHANGE"])
    yield ".SH FILES"
    for name, text in FILES:
        yield from _entry(name, text)
    yield from _exit_status()
    yield from _see_also([*(f"agentctl-{name}(1)" for names in SECTIONS.values() for name in names),
                          "agentctl-policy(5)", "agentctl-refs(7)", "git(1)"])


def _page(ctx: click.Context, siblings: tuple[str, ...]) -> Iterator[str]:
    command = ctx.command
    yield from _head(f"agentctl-{ctx.info_name}", _first(command))
    subs = [click.Context(sub, parent=ctx, info_name=name) for name, sub in getattr(command, "commands", {}).items()]
    yield ".SH SYNOPSIS"
    yield "\n.br\n".join(_usage(each) for each in ([ctx] if not subs or command.invoke_without_command else []) + subs)
    yield from _description(command)
    for sub in subs:
        yield f".SS {escape(sub.command_path)}"
        yield from _paragraphs(sub.command.help)
        yield from _option_entries(sub.command)
    yield from _options(command)
    yield ".SH EXAMPLES"
    yield from _code(_examples(command))
    yield from _exit_status()
    others = [f"agentctl-{name}(1)" for name in siblings if name != ctx.info_name]
    yield from _see_also(["agentctl(1)", *others, "agentctl-policy(5)", "agentctl-refs(7)"])


def _head(name: str, purpose: str) -> Iterator[str]:
    yield '.\\" Made by python -m agentctl.commands.manpages'
    yield f'.TH {escape(name.upper())} 1 "" "agentctl" "agentctl manual"'
    yield ".SH NAME"
    yield f"{escape(name)} \\- {escape(purpose[0].lower() + purpose[1:])}"


def _first(command: click.Command) -> str:
    """The first sentence of a help text, without its full stop."""
    return " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def _usage(ctx: click.Context) -> str:
    words = [f"\\fB{escape(ctx.command_path)}\\fR", "[\\fIOPTIONS\\fR]"]
    words += [escape(_argument(p)) for p in ctx.command.params if isinstance(p, click.Argument)]
    if isinstance(ctx.command, click.Group):
        words += ["\\fICOMMAND\\fR", "[\\fIARGS\\fR]"]
    return " ".join(words)


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _description(command: click.Command) -> Iterator[str]:
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help)


def _paragraphs(text: str) -> Iterator[str]:
    for n, paragraph in enumerate(text.strip().split("\n\n")):
        if n:
            yield ".PP"
        yield from _filled(paragraph)


def _options(command: click.Command) -> Iterator[str]:
    yield ".SH OPTIONS"
    yield from _option_entries(command)
    yield from _entry("-h, --help", "Show a short help and exit.")


def _option_entries(command: click.Command) -> Iterator[str]:
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            flags = ", ".join([*option.opts, *option.secondary_opts])
            yield from _entry(f"{flags} {_value(option)}".rstrip(), option.help or "")


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return option.metavar or ("N" if isinstance(option.type, (click.IntRange, click.types.IntParamType)) else option.name.upper())


def _examples(command: click.Command) -> list[str]:
    lines = (command.epilog or "").split("Examples:\n", 1)[-1].splitlines()
    for sub in getattr(command, "commands", {}).values():
        lines += [line for line in _examples(sub) if line not in {known.strip() for known in lines}]
    return [line.strip() for line in lines if line.strip()]


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for status, meaning in EXIT:
        yield from _entry(status, meaning)


def _see_also(names: list[str]) -> Iterator[str]:
    yield ".SH SEE ALSO"
    for n, name in enumerate(names):
        page, _, section = name.partition("(")
        yield f".BR {escape(page)} ({section}{',' if n < len(names) - 1 else ''}"


def _entry(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{escape(term)}\\fR"
    yield from _filled(text)


def _filled(text: str) -> Iterator[str]:
    words = " ".join(text.replace("\b", " ").split())
    for line in textwrap.wrap(words, WIDTH, break_on_hyphens=False, break_long_words=False):
        yield escape(line)


def _code(lines: list[str]) -> Iterator[str]:
    yield from (".PP", ".RS", ".nf")
    yield from map(escape, lines)
    yield from (".fi", ".RE")


def escape(text: str) -> str:
    """Plain text as a line of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return "\\&" + text if text.startswith(".") else text


def main(args: list[str]) -> None:
    folder = os.path.join(args[0] if args else data_path("man"), "man1")
    made = pages()
    os.makedirs(folder, exist_ok=True)
    for name in set(os.listdir(folder)) - set(made):
        os.unlink(os.path.join(folder, name))
    for name, text in made.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
