"""Every way agentctl fails: the docstring is the message, the attribute the exit code.

A class's docstring is a format string for the keyword arguments given to the
constructor; `hint` names the command to type next. One given to the constructor is taken as
it is: it may quote a gate's output, braces and all.
"""

from __future__ import annotations


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


class GateFailed(AgentctlError):
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
