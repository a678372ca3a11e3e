"""The command line: one group, its commands imported only when called."""

from __future__ import annotations

import json
import os
import sys

from agentctl import signals

SECTIONS = {
    "The main job": ("init", "run", "demo", "replay"),
    "Tasks and agents": ("task", "spawn", "ps", "logs", "stop", "rm"),
    "The queue": ("submit", "withdraw", "queue", "why", "wait", "revert", "test", "bot"),
    "Set-up and care": ("policy", "doctor", "verify", "hook", "completion", "help"),
}
"""Every command, as `agentctl --help` lists them; each lives in commands/<name>.py."""


def main(argv: list[str] | None = None) -> None:
    """Entry point: runs one command and exits with its status."""
    args = sys.argv[1:] if argv is None else argv
    if args[:1] == ["--version"]:
        from agentctl import __version__

        print(f"agentctl {__version__}")
        sys.exit(0)
    if args[:2] == ["hook", "run"] and len(args) > 2:
        from agentctl.commands import hookrun

        sys.exit(hookrun.run(args[2:]))
    signals.install()
    status = run(args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def run(args: list[str]) -> int:
    """Run a command line; returns its exit status and prints its errors."""
    import click

    from agentctl.commands.parser import root
    from agentctl.errors import AgentctlError, Infrastructure, UsageError

    as_json = "--json" in args[: args.index("--")] if "--" in args else "--json" in args
    try:
        return root.main(args, prog_name="agentctl", standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return UsageError.exit
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "agentctl"
        return _fail(UsageError(error.format_message(), hint=f"{command} --help"), as_json)
    except click.ClickException as error:
        return _fail(AgentctlError(error.format_message()), as_json)
    except AgentctlError as error:
        return _fail(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        # click turns every KeyboardInterrupt into Abort.
        return signals.status()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        if signals.heard():
            # A closed terminal fails a write before its SIGHUP is seen.
            return signals.status()
        hint = "free some disk space, then run the same command again" if error.errno == 28 else "agentctl doctor"
        where = f": {error.filename}" if error.filename else ""
        return _fail(Infrastructure(f"{error.strerror or error}{where}", hint=hint), as_json)


def _fail(error, as_json: bool) -> int:
    from agentctl.core.printable import visible

    if as_json:
        facts = {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit}
        print(json.dumps(facts), file=sys.stderr)
    else:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(visible(f"agentctl: {error.message}{hint}"), file=sys.stderr)
    return error.exit
