"""The pages of man/man1, made from the command tree, and the keys in those of man/man5, made from the schemas.

`python -m agentctl.terminal.manpages` writes them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator

import click

from agentctl import __version__
from agentctl.core.policy.schema import SCHEMA
from agentctl.core.tasks.task_list import TASKS_SCHEMA
from agentctl.core.text.json_form import Plain
from agentctl.terminal.parser import Given, root

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "man")
KEYS = {"man5/agentctl-policy.5": SCHEMA, "man5/agentctl-tasks.5": TASKS_SCHEMA["items"]}
"""The pages that tell of the keys of a schema."""

STATUSES = (
    ("0", "done"),
    ("1", "failed in a way that has no number of its own"),
    ("2", "the command line is wrong"),
    ("3", "the policy or a task list is invalid"),
    ("4", "not found"),
    ("5", "refused by policy or a guard"),
    ("6", "merge conflict"),
    ("7", "the gate failed, or a change was rejected"),
    ("8", "contended or locked: try again"),
    ("9", "findings of doctor or verify"),
    ("124", "timed out"),
    ("125", "the machine or the gate itself failed: nobody is to blame"),
    ("129, 130, 143", "ended by SIGHUP, by Ctrl-C, by SIGTERM"),
)


def pages() -> dict[str, str]:
    """Return every page that is written, by its path below `FOLDER`."""
    # It has root's settings, as in a run, because click keeps the help option that the first context of a command made.
    ctx = click.Context(root, info_name="agentctl", obj=Given(), **root.context_settings)
    found = {"man1/agentctl.1": _page(ctx, root, _index(ctx))}
    found |= {page: _with_keys(page, schema) for page, schema in KEYS.items()}
    for name, command, inner in _below(ctx, root):
        found[f"man1/agentctl-{name}.1"] = _page(inner, command, _members(inner, command))
    return found


def _with_keys(page: str, schema: Plain) -> str:
    """Return a page as it is on disk, with its section KEYS made anew."""
    with open(os.path.join(FOLDER, page)) as file:
        before, _, rest = file.read().partition(".SH KEYS\n")
    after = rest[rest.index(".SH ") :]
    return f"{before}.SH KEYS\n{_keys('', schema)}\n{after}"


def _keys(prefix: str, section: Plain) -> str:
    """Return the keys of a section of the policy: those with a value, then the sections within."""
    values, inner = [], []
    for key, about in section["properties"].items():
        named = about.get("additionalProperties") or {}
        within = about if "properties" in about else about.get("items") or named
        if "properties" in within:
            inside = prefix + key + (".NAME." if within is named else ".")
            words = " ".join(filter(None, (about["description"], "Required." if key in section.get("required", ()) else "")))
            inner.append(f".SS {_escape(prefix + key)}\n{_escape(words)}\n{_keys(inside, within)}")
        else:
            said = " ".join(_about(about, key in section.get("required", ())))
            values.append(f".TP\n.B {_escape(prefix + key)}\n{_escape(said)}")
    return "\n".join(values + inner)


def _about(about: Plain, required: bool) -> Iterator[str]:
    """Yield what is said of one key, in sentences."""
    yield about["description"]
    expected = about.get("x-expected") or about.get("items", {}).get("x-expected")
    # Durations and sizes have sections of their own.
    if expected and "x-unit" not in about:
        yield f"{'Each is' if about['type'] == 'array' else 'It is'} {expected}."
    elif about["type"] == "integer" and "minimum" in about:
        yield f"From {about['minimum']} to {about['maximum']}."
    if required:
        yield "Required."
    elif about.get("default") not in (None, "", [], {}):
        default = about["default"]
        shown = json.dumps(default) if isinstance(default, (bool, list)) else default
        yield f"Default: {shown}."


def _below(ctx: click.Context, group: click.Group) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield the commands of a group by name, each with a context of its own."""
    for name in group.list_commands(ctx):
        if command := group.get_command(ctx, name):
            yield name, command, click.Context(command, info_name=name, parent=ctx)


def _page(ctx: click.Context, command: click.Command, more: str) -> str:
    title = ctx.command_path.replace(" ", "-")
    short = (command.help or "").strip().splitlines()[0].rstrip(".")
    parts = [
        f'.TH {_escape(title.upper())} 1 "" "agentctl {__version__}" "agentctl"',
        ".SH NAME",
        f"{_escape(title)} \\- {_escape(short[0].lower() + short[1:])}",
        ".SH SYNOPSIS",
        _synopsis(ctx, command),
        ".SH DESCRIPTION",
        _text(command.help or ""),
        _options(ctx, command, ".SH OPTIONS"),
        more,
        _examples(command, ".SH EXAMPLES"),
        ".SH EXIT STATUS",
        *(f".TP\n.B {number}\n{_escape(words)}" for number, words in STATUSES),
        ".SH SEE ALSO",
        _see_also(title),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _synopsis(ctx: click.Context, command: click.Command) -> str:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    return f".B {_escape(ctx.command_path)}\n{_escape(pieces)}"


def _options(ctx: click.Context, command: click.Command, heading: str) -> str:
    shown = [
        f".TP\n.B {_escape(_names(p))}\n{_escape(' '.join((p.help or '').split()))}"
        for p in command.get_params(ctx)
        if isinstance(p, click.Option) and not p.hidden
    ]
    return "\n".join([heading, *shown]) if shown else ""


def _names(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    choices = getattr(option.type, "choices", None)
    return f"{names} " + (option.metavar or ("|".join(choices) if choices else option.type.name.split()[0].upper()))


def _examples(command: click.Command, heading: str) -> str:
    lines = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]
    return "\n".join([heading, ".nf", *(f".B {_escape(line)}" for line in lines), ".fi"]) if lines else ""


def _members(ctx: click.Context, command: click.Command) -> str:
    if not isinstance(command, click.Group):
        return ""
    parts = [".SH COMMANDS"]
    for name, member, inner in _below(ctx, command):
        parts += [
            f".SS {_escape(name)}",
            _synopsis(inner, member),
            ".PP",
            _text(member.help or ""),
            _options(inner, member, ".PP"),
            _examples(member, ".PP"),
        ]
    return "\n".join(part for part in parts if part)


def _index(ctx: click.Context) -> str:
    parts = [".SH COMMANDS"]
    for title, names in root.sections.items():
        parts.append(f".SS {_escape(title)}")
        for name in names:
            short = root.loaded(name).get_short_help_str(200)
            parts.append(f".TP\n.BR agentctl\\-{name} (1)\n{_escape(short)}")
    return "\n".join(parts)


def _see_also(title: str) -> str:
    names = [
        n for n in ("agentctl(1)", "agentctl-policy(5)", "agentctl-tasks(5)", "agentctl-refs(7)") if not n.startswith(title + "(")
    ]
    return ",\n".join(".BR {} ({})".format(*n[:-1].split("(")).replace("-", "\\-") for n in names)


def _text(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.replace("\b\n", "").strip())
    return "\n.PP\n".join(_escape(" ".join(p.split())) for p in paragraphs)


def _escape(text: str) -> str:
    for plain, mark in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ('"', "\\(dq")):
        text = text.replace(plain, mark)
    return "\\&" + text if text.startswith(".") else text


def stale() -> Iterator[str]:
    """Yield the pages that are not as they would be written, by their paths below `FOLDER`."""
    wanted = pages()
    on_disk = {f"man1/{name}" for name in os.listdir(os.path.join(FOLDER, "man1")) if name.endswith(".1")}
    yield from on_disk - wanted.keys()
    for name, text in wanted.items():
        path = os.path.join(FOLDER, name)
        if not os.path.exists(path) or open(path).read() != text:
            yield name


def main() -> int:
    wanted = pages()
    for name in list(stale()):
        path = os.path.join(FOLDER, name)
        if name in wanted:
            with open(path, "w") as file:
                file.write(wanted[name])
        else:
            os.unlink(path)
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
