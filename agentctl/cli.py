"""The command line: one group, whose commands are imported only when they are called."""

from __future__ import annotations

import contextlib
import io
import os
import sys

TYPE_CHECKING = False
"""As `typing.TYPE_CHECKING`, but without the import of `typing`, for which a hook would have to wait."""
if TYPE_CHECKING:
    from collections.abc import Callable

    from agentctl.errors import AgentctlError, Defect
    from agentctl.terminal.parser import Given

SECTIONS = {
    "The main job": ("init", "run", "demo", "replay"),
    "Tasks and agents": ("task", "spawn", "scale", "ps", "radar", "logs", "salvage", "stop", "rm", "prime", "note"),
    "The queue": ("submit", "withdraw", "approve", "queue", "why", "wait", "revert", "test", "bot", "worker"),
    "Set-up and care": ("policy", "doctor", "verify", "hook", "completion", "help"),
}
"""Every command, grouped as `agentctl --help` lists them.

The module of a command is commands/<name>.py, and that of `help` is commands/help_.py.
"""

DEBUG = "AGENTCTL_DEBUG"


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit with its status: the entry point of the program."""
    _quiet()
    _streams()
    args, status = sys.argv[1:] if argv is None else argv, 0
    try:
        status = _answer(args)
        sys.stdout.flush()
    except OSError as error:
        status = _unwritten(error, status)
    sys.exit(status)


def _answer(args: list[str]) -> int:
    """Run a command line and return its exit status.

    `--version` and `hook run` are answered before anything heavy is imported.
    """
    if args[:1] == ["--version"]:
        from agentctl import __version__

        print(f"agentctl {__version__}")
        return 0
    if args[:2] == ["hook", "run"] and len(args) > 2:
        from agentctl.commands import run_hook

        return run_hook.run(args[2:])
    from agentctl import signals, thread_caches

    thread_caches.do_without(args)
    return run(args, signals.install)


def _quiet() -> None:
    """Let an interrupt end this process silently until there is something to stop in order.

    Nothing could catch a KeyboardInterrupt that comes while modules are imported. The built-in `_signal` is used
    because `signal` itself is a module that would have to be imported.
    """
    import _signal

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def _streams() -> None:
    """Open /dev/null in place of each standard stream that is closed, and escape what stdout cannot encode.

    Otherwise the next file that is opened would take the place of the closed stream.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _unwritten(error: OSError, status: int) -> int:
    """Return the exit status of a command whose output could not be written.

    If only the reader has closed the pipe, this is no error: the status stays as it is, and nothing is printed.
    """
    _give_up_output()
    if isinstance(error, BrokenPipeError):
        return status
    with contextlib.suppress(OSError):
        print(f"agentctl: cannot write the output: {error.strerror}", file=sys.stderr)
    return status or 125


def _give_up_output() -> None:
    """Send what is left in the output buffer to /dev/null.

    Otherwise Python would complain when it exits.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def run(args: list[str], begin: Callable[[], None] = lambda: None) -> int:
    """Run a command line, print its errors and return its exit status.

    `begin` is called just before the command runs, when its module is imported.
    """
    import click

    from agentctl import signals
    from agentctl.errors import AgentctlError, UsageError
    from agentctl.terminal.parser import Given, root

    as_json = "--json" in args[: args.index("--")] if "--" in args else "--json" in args
    given = Given(begin=begin)
    try:
        return root.main(args, prog_name="agentctl", standalone_mode=False, obj=given) or 0
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
        left = signals.undone()
        if left and not isinstance(left, BrokenPipeError):
            return _fail(_left(_understood(left, given)), as_json)
        return signals.status()
    except BrokenPipeError:
        _give_up_output()
        return 141
    except OSError as error:
        if signals.heard():
            # When a terminal is closed, a write to it fails before its SIGHUP is seen.
            return signals.status()
        return _fail(_understood(error, given), as_json)
    except Exception as error:
        return _fail(_understood(error, given), as_json)


def _understood(error: Exception, given: Given) -> AgentctlError:
    """Return an error as what is told of it."""
    from agentctl.errors import AgentctlError, DiskFull, Infrastructure, is_full, told

    if isinstance(error, AgentctlError):
        return error
    if isinstance(error, OSError):
        return Infrastructure(told(error), hint=DiskFull.hint if is_full(error) else "agentctl doctor")
    return _defect(error, given)


def _left(error: AgentctlError) -> AgentctlError:
    """Return what is told of an error that cut the clean-up after a signal short."""
    from agentctl.errors import Infrastructure

    return Infrastructure(f"while it stopped: {error.message}; what is left, the next start clears away", hint=error.hint)


def _defect(error: Exception, given: Given) -> Defect:
    """Return the error that reports an exception which nobody foresaw.

    The traceback goes to a file, which can be sent with a report; with AGENTCTL_DEBUG it goes to stderr.
    """
    import traceback

    from agentctl.errors import Defect
    from agentctl.git.repository import Hub
    from agentctl.hub import defects

    if os.environ.get(DEBUG):
        traceback.print_exception(error)
        return Defect(f"{type(error).__name__}: {error}", hint="report it with the lines above")
    hub = vars(given).get("hub")
    where = defects.kept(hub if isinstance(hub, Hub) else None, error)
    return Defect(
        f"{type(error).__name__}: {error}",
        hint=f"report it with {where}" if where else f"{DEBUG}=1 shows where: set it, and run the same command again",
    )


def _fail(error: AgentctlError, as_json: bool) -> int:
    """Print an error and return its exit status; after a signal the status is that of the signal, whatever failed on the way."""
    from agentctl import signals
    from agentctl.core.text.printable import visible

    status = signals.status() if signals.heard() else error.exit
    hint = f"\nhint: {error.hint}" if error.hint else ""
    text = visible(f"agentctl: {error.message}{hint}")
    if as_json:
        import json

        text = json.dumps({"code": error.code, "message": error.message, "hint": error.hint, "exit": status})
    # If this cannot be printed, the exit status still tells that there was an error.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)
    return status
