"""Every way agentctl fails: the docstring is the message, the attribute the exit code.

A class's docstring is a format string for the keyword arguments given to the
constructor; `hint` names the command to type next. One given to the constructor is taken as
it is: it may quote a gate's output, braces and all.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping

from agentctl.core.text.printable import printable


class AgentctlError(Exception):
    """{message}"""

    exit = 1
    code = "error"
    hint = ""

    def __init__(self, message: str = "", hint: str | None = None, **values: object) -> None:
        values.setdefault("message", message)
        self.message = message or (type(self).__doc__ or "").format(**values)
        self.hint = type(self).hint.format(**values) if hint is None else hint
        self.values = values
        super().__init__(self.message)


class UsageError(AgentctlError):
    """{message}"""

    exit, code = 2, "usage"


class PolicyError(AgentctlError):
    """{message}"""

    exit, code = 3, "policy"
    hint = "agentctl policy check"


class NotFound(AgentctlError):
    """{message}"""

    exit, code = 4, "not-found"


class Refused(AgentctlError):
    """{message}"""

    exit, code = 5, "refused"


class MergeConflict(AgentctlError):
    """{message}"""

    exit, code = 6, "conflict"


class GateSaidNo(AgentctlError):
    """{message}"""

    exit, code = 7, "gate-failed"


class Contended(AgentctlError):
    """{message}"""

    exit, code = 8, "contended"
    hint = "somebody else moved it first: run the same command again"


class Malformed(AgentctlError):
    """{ref} does not hold what it should: {why}"""

    code = "malformed"
    hint = "agentctl doctor mends it; to see it: git log -p {ref}"


class Defect(AgentctlError):
    """agentctl itself failed: {message}"""

    code = "defect"

    def __init__(self, what: str, hint: str) -> None:
        super().__init__("agentctl itself failed: " + what, hint)


class Findings(AgentctlError):
    """{message}"""

    exit, code = 9, "findings"


class Timeout(AgentctlError):
    """{message}"""

    exit, code = 124, "timeout"


class Infrastructure(AgentctlError):
    """{message}"""

    exit, code = 125, "infrastructure"


def together(errors: Mapping[str, AgentctlError], asked: int) -> AgentctlError:
    """Return one error for several things, by name, that cannot be done, and for which none of the `asked` ones was."""
    first = next(iter(errors.values()))
    if asked == 1:
        return first
    kind = NotFound if all(isinstance(error, NotFound) for error in errors.values()) else Refused
    said = "; ".join(f"{name}: {error.message}" for name, error in errors.items())
    return kind(f"nothing was changed: {said}", hint=first.hint)


def told(error: BaseException) -> str:
    """Return an error in one line."""
    match error:
        case AgentctlError():
            words = error.message
        case OSError() if error.strerror:
            words = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        case _:
            words = f"{type(error).__name__}: {error}"
    return printable(words.strip(), 500)


def is_ours(error: BaseException) -> bool:
    """Tell whether a change may have brought an error about.

    It is false for what the machine, the ledger or somebody who moved a ref did.
    """
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return False
    return isinstance(error, Exception) and not isinstance(error, (Contended, Infrastructure, Malformed, PolicyError))


_MACHINE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE))


class DiskFull(Infrastructure):
    """the disk is full: {said}"""

    code = "disk-full"
    hint = "free some disk space, then run the same command again"


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that a disk is full, or a quota used up."""
    return isinstance(error, DiskFull) or isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class Fault(AgentctlError):
    """agentctl fails on {name}: {why}"""

    code = "fault"

    def __init__(self, name: str, error: Exception) -> None:
        self.name, self.why = name, told(error)
        super().__init__(name=name, why=self.why)


@contextlib.contextmanager
def fault_of(name: str) -> Iterator[None]:
    """Raise Fault, naming `name`, for an error inside that a change may have brought about."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Fault) or not is_ours(error):
            raise
        raise Fault(name, error) from error
