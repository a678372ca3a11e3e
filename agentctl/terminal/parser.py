"""The root of the command tree, and what every command is given."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from agentctl import __version__
from agentctl.cli import SECTIONS
from agentctl.core.text.printable import visible
from agentctl.core.text.units import duration
from agentctl.messages import ago, folded

if TYPE_CHECKING:
    from agentctl.core.policy.policy import Policy
    from agentctl.errors import AgentctlError
    from agentctl.git.repository import Hub
    from agentctl.git.station import Station

    Seconds = click.ParamType[float]
else:
    Seconds = click.ParamType
    """Before click 8.4 this class takes no type parameter."""

Made = TypeVar("Made", bound=click.Command)

NAMES = {"help": "help_"}
"""The modules whose name differs from that of their command."""


MEANT = {
    "status": "agentctl queue, or agentctl task list",
    "list": "agentctl task list",
    "show": "agentctl why CHANGE",
    "queue show": "agentctl queue, or agentctl why CHANGE",
    "queue list": "agentctl queue",
}
"""What to type instead, for commands that people often look for under another name."""


class Group(click.Group):
    """A group that tells which command was meant, where there is none of the name that was typed."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx):
            import difflib

            from agentctl.errors import UsageError

            asked = " ".join([*ctx.command_path.split()[1:], args[0]])
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1, 0.7)
            also = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"there is no command {asked!r}{also}", hint=MEANT.get(asked, f"{ctx.command_path} --help"))
        return super().resolve_command(ctx, args)


class Root(Group):
    """The root of the tree, which imports the module of a command when that is asked for."""

    sections = SECTIONS

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in self.sections.values() for name in names]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self.loaded(name) if name in self.list_commands(ctx) else None

    def loaded(self, name: str) -> click.Command:
        """Import a command that is listed, and return it."""
        command: click.Command = importlib.import_module(f"agentctl.commands.{NAMES.get(name, name)}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.loaded(name).get_short_help_str(85)) for name in names])


class Trunk(NamedTuple):
    branch: str
    tip: str


@dataclass
class Given:
    """The global options, and the hub, policy and trunk that they lead to."""

    path: str = "."
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    color: str = "auto"
    offline: bool = False
    """True if nobody is to look at the remote that the hub may stand on."""
    begin: Callable[[], None] = lambda: None
    """Called before the command begins."""

    @functools.cached_property
    def here(self) -> Hub:
        """The hub as it is here: nobody looks at the remote that it may stand on."""
        from agentctl.errors import NotFound
        from agentctl.git.repository import find

        try:
            os.getcwd()
        except FileNotFoundError:
            raise NotFound("the folder that this was started in is gone", hint="cd to one that is there") from None
        try:
            return find(self.path)
        except NotFound:
            # An agent may be anywhere when it says something about its task.
            if self.path != "." or not os.environ.get("AGENTCTL_HUB"):
                raise
            return find(os.environ["AGENTCTL_HUB"])

    @functools.cached_property
    def hub(self) -> Hub:
        """The hub, after a look at the remote that it may stand on."""
        from agentctl.git.repository import apart_from

        if self.here.station:
            self._look(self.here, self.here.station)
        elif remote := apart_from(self.here):
            self.note(
                f"agentctl: by its policy this is a clone of the hub at {remote}, but it has a queue of its own: agentctl init --remote {remote}"
            )
        return self.here

    def _look(self, hub: Hub, station: Station) -> None:
        """Look at the remote that the hub stands on or, with --offline, say how old the last look is."""
        if not self.offline:
            hub.refs.refresh()
            return
        station.offline = True
        self.note(
            f"agentctl: the hub as of {ago(station.seen)}" if station.seen else "agentctl: nobody has looked at the hub yet"
        )

    @functools.cached_property
    def policy(self) -> Policy:
        """The policy at trunk's tip."""
        return self._in_force[1]

    @property
    def trunk(self) -> str:
        return self.policy.trunk

    @functools.cached_property
    def _in_force(self) -> tuple[str, Policy]:
        from agentctl.hub.policy_file import in_force

        return in_force(self.hub)

    @property
    def tip(self) -> str:
        """The commit that trunk is at now."""
        return self.hub.trunk_tip(self.trunk)

    @functools.cached_property
    def unusable(self) -> AgentctlError | None:
        """Why trunk's policy cannot be used; None if it can."""
        from agentctl.errors import AgentctlError

        self.hub  # noqa: B018  A repository that is not there is no fault of the policy.
        try:
            self._in_force  # noqa: B018
        except AgentctlError as error:
            return error
        return None

    @property
    def unusable_text(self) -> str:
        return f"trunk's policy cannot be used: {self.unusable.message}" if self.unusable else ""

    @property
    def seen(self) -> Trunk:
        """Trunk for what only reads.

        Where the policy cannot be used, trunk is the branch on which the bot last landed. Raises what is wrong with the policy
        where no such branch is known and there.
        """
        from agentctl.core import refnames
        from agentctl.hub.foreign import known_trunk

        if not self.unusable:
            return Trunk(self.trunk, self.tip)
        trunk = known_trunk(self.hub) or self.hub.config("agentctl.trunk")
        if trunk and (tip := self.hub.refs.get(refnames.branch(trunk))):
            return Trunk(trunk, tip)
        raise self.unusable

    def tell_held_up(self) -> bool:
        """Say what holds up what runs here, and whether trunk's policy cannot be used; tell whether there is anything to say."""
        from agentctl.hub import hindrance

        held, error = list(hindrance.read(self.hub)), self.unusable
        if error and not any(error.message in told for told in held):
            held.append(self.unusable_text)
        for told in held:
            self.say(f"held up: {told}", hang=9)
        return bool(held)

    # All that commands print goes through these four methods; tests/test_tidy.py checks it.

    def say(self, text: str = "", hang: int | None = None, style: str | None = None) -> None:
        """Print for people, unless --quiet or --json is given.

        With `hang`, a line that is wider than the terminal is broken at words and continued at that column; `style`
        is a colour.
        """
        if not (self.quiet or self.json):
            text = visible(text)
            if hang is not None and sys.stdout.isatty():
                text = folded(text, hang, shutil.get_terminal_size().columns)
            click.echo(click.style(text, fg=style) if style and self.colored else text, color=self.colored)

    def show(self, text: str, end: str = "\n") -> None:
        """Print what was asked for, even with --quiet."""
        click.echo(visible(text) + end, nl=False)

    def emit(self, value: object) -> None:
        """Print one JSON value; what is not ASCII in it is escaped."""
        click.echo(json.dumps(value, default=str))

    def note(self, text: str, end: str = "\n") -> None:
        """Print progress to standard error, unless --quiet or --json is given."""
        if not (self.quiet or self.json):
            print(visible(text), file=sys.stderr, end=end, flush=True)

    def trace(self, debug: bool) -> None:
        """Print each Git that is run and each transaction of refs to standard error, or stop printing them."""
        import logging

        shown, package = logging.StreamHandler(), logging.getLogger("agentctl")
        shown.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
        package.handlers[:] = [shown] if debug else []
        package.setLevel(logging.DEBUG if debug else logging.NOTSET)

    @property
    def colored(self) -> bool:
        if self.color != "auto":
            return self.color == "always"
        return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


given = click.make_pass_decorator(Given, ensure=True)


EXAMPLES = """\b
Examples:
  agentctl demo
  agentctl init
  agentctl run tasks.yaml --agents 4 --adapter claude
  agentctl why fix-crash"""


def _set(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        setattr(ctx.ensure_object(Given), option.name, value)


def read_input() -> str:
    """Return all of standard input as text.

    Raises UsageError if it is not UTF-8 or holds a NUL byte.
    """
    from agentctl.errors import UsageError

    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8: {error}") from None
    if "\0" in text:
        raise UsageError("standard input holds a NUL byte, so it is not text")
    return text


class Duration(Seconds):
    """A number of seconds, written as 90s, 10m or 1h30m."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return duration(value)
        except ValueError:
            self.fail(f"{value!r} is no duration such as 90s, 10m or 2h", param, ctx)


class Command(click.Command):
    """A command whose words have to be UTF-8, except for paths and an agent's command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for param in self.params:
            given = ctx.params.get(param.name)
            for word in given if isinstance(given, tuple) else (given,):
                if param.type is click.STRING and isinstance(word, str) and any("\ud800" <= c <= "\udfff" for c in word):
                    raise click.BadParameter("it is not UTF-8", ctx, param)
        return rest


def _made(kind: type[Made], name: str, examples: str, **options: bool) -> Callable[[Callable[..., int | None]], Made]:
    epilog = "\b\nExamples:\n" + "\n".join("  " + line for line in examples.strip().splitlines())

    def decorate(function: Callable[..., int | None]) -> Made:
        for flags, words in ((("--json", "json"), "Print JSON."), (("-q", "--quiet"), "Print only results.")):
            function = click.option(*flags, is_flag=True, expose_value=False, callback=_set, help=words)(function)
        return click.command(name, kind, epilog=epilog, **options)(function)

    return decorate


def as_command(name: str, examples: str) -> Callable[[Callable[..., int]], Command]:
    """Make a command whose help ends in examples, and that takes --json and --quiet behind its name too."""
    return _made(Command, name, examples)


def group(name: str, examples: str, invoke_without_command: bool = False) -> Callable[[Callable[..., int | None]], Group]:
    """Make a group like `as_command`.

    Its function returns nothing where the command below it has an exit status of its own.
    """
    return _made(Group, name, examples, invoke_without_command=invoke_without_command)


@click.group(
    "agentctl", cls=Root, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="agentctl %(version)s")
@click.option("-C", "path", default=".", metavar="PATH", help="Act as if started in PATH.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="When to use colour.")
@click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
@click.option("-v", "--verbose", count=True, help="Print more.")
@click.option("--offline", is_flag=True, help="Of a hub on a remote, show what was there at the last look.")
@click.option("--debug", is_flag=True, envvar="AGENTCTL_DEBUG", help="Print each Git that is run, and each transaction of refs.")
@click.pass_context
def root(ctx: click.Context, path: str, as_json: bool, color: str, quiet: bool, verbose: int, offline: bool, debug: bool) -> None:
    """Run many coding agents on one Git repository and keep its trunk green.

    Agents work in worktrees of their own; a merge queue tests what they submit, finds
    the culprits, and fast-forwards trunk only to commits whose exact tree has passed.
    """
    given = ctx.ensure_object(Given)
    given.path, given.json, given.quiet, given.verbose, given.color = path, as_json, quiet, verbose, color
    given.offline = offline
    if debug or "logging" in sys.modules:
        given.trace(debug)
    given.begin()
