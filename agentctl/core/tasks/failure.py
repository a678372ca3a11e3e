"""Why a session failed, if that is not the fault of its task.

The judgement is made from the last lines that the program printed, and only about failures. An agent may be at work on
a client that handles status 429, so what a session with a result printed in passing says nothing. The patterns are
data: an outdated pattern is one line to mend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.last_words import Utterance, quote, shown, utterances
from agentctl.core.tasks.retry_time import Zones, resumes
from agentctl.core.text.json_form import Struct


class Kind(StrEnum):
    KEY = "the key is refused"
    MONEY = "money or quota is used up"
    RATE = "rate limited"
    OVERLOAD = "the provider has trouble"
    NETWORK = "the network fails"
    DISK = "the disk is full"
    PROGRAM = "the agent's program cannot be run like this"
    STATE = "the agents' program fails on its own database"
    """Some programs keep one for all sessions, and those that start at the same time make it at the same time."""
    SETUP = "the set-up command fails"
    CRASHES = "one crash after the other"
    """A failure of a row of sessions, none of which says why it crashed."""
    SILENT = "one session after the other is cut off empty-handed"
    CONVERSATION = "the conversation that it was to take up is gone"
    CONTEXT = "out of context"
    LIMIT = "cut off by our limit"


@dataclass(frozen=True, slots=True)
class Nature:
    fleet: bool
    """True if the failure is likely to hit every agent."""
    mends: bool
    """True if the failure passes by itself."""
    todo: str
    """What a person can do about it; empty if there is nothing to do."""


NATURE: dict[Kind, Nature] = {
    Kind.KEY: Nature(True, False, "renew the key that the agents' program uses, or log it in again"),
    Kind.MONEY: Nature(True, False, "add credit or raise the quota at the provider"),
    Kind.RATE: Nature(True, True, ""),
    Kind.OVERLOAD: Nature(True, True, ""),
    Kind.NETWORK: Nature(True, True, ""),
    Kind.DISK: Nature(True, True, "make room on the disk where the agents work"),
    Kind.PROGRAM: Nature(True, False, "run the command by hand; mend what comes after -- or agents.command"),
    Kind.STATE: Nature(True, True, "start the agents' program once by hand"),
    Kind.SETUP: Nature(True, False, "run agents.setup by hand in a fresh clone, and mend it"),
    Kind.CRASHES: Nature(True, True, "see the whole output: agentctl logs AGENT"),
    Kind.SILENT: Nature(True, True, "see by hand whether the agents' program gets an answer"),
    Kind.CONVERSATION: Nature(False, True, ""),
    Kind.CONTEXT: Nature(False, True, ""),
    Kind.LIMIT: Nature(False, True, ""),
}

_CODE = r"(?:^|status\w*|code|error|http(?:/[\d.]+)?|litellm\S*)\W{0,4}"
"""What stands before the number of an HTTP status; a number alone may be anything."""

PATTERNS: tuple[tuple[Kind, str], ...] = (
    (
        Kind.CONTEXT,
        r"prompt is too long|context[_ ](?:length|window)[_ ]?(?:is )?(?:exceed|too)|maximum context length|"
        r"contextwindowexceeded|ran out of room in the model's context|input (?:is )?too long|"
        r"exceeds? (?:the )?(?:maximum|model'?s)[^.]{0,40}(?:tokens|context)|input token count[^.]*exceeds",
    ),
    (Kind.DISK, r"\benospc\b|no space left on device|disk quota exceeded|disk is full"),
    (
        Kind.MONEY,
        r"insufficient[_ ](?:quota|credits?|funds|balance)|credit balance is too low|exceeded your current quota|"
        r"payment required|out of (?:credits|extra usage)|no quota (?:remaining|left)|billing[_ ](?:hard[_ ]limit|error|details)|spend(?:ing)? limit|"
        + _CODE
        + "402",
    ),
    (
        Kind.RATE,
        r"rate[_ -]?limit|too many requests|resource(?:_?| has been )exhausted|(?:usage|session|weekly|hour) limit|hit your limit|"
        r"quota exceeded|" + _CODE + "429",
    ),
    (
        Kind.KEY,
        r"unauthori[sz]ed|authentication[_ ](?:failed|error)|authenticationerror|not able to authenticate|"
        r"(?:invalid|incorrect|expired|missing|no|wrong) (?:x-)?api[-_ ]?key|invalid_api_key|api_key_invalid|"
        r"api[ _]key (?:is )?(?:not valid|invalid|expired|missing|required|not (?:found|set))|permission_(?:denied|error)|"
        r"permissiondeniederror|please run /login|not logged in|token (?:has |was )?(?:been )?(?:expired|revoked|already used)|"
        r"access token could not be refreshed|please (?:log out and )?(?:log|sign) in again|"
        r"organi[sz]ation has been disabled|your (?:\w+ )?account (?:has been|is) (?:disabled|deactivated|suspended)|"
        r"missing (?:environment variable|credentials)|could not resolve authentication|does not have access|" + _CODE + "40[13]",
    ),
    (
        Kind.OVERLOAD,
        r"overloaded|internal ?server ?error|service ?unavailable|bad gateway|gateway time-?out|at capacity|"
        r"server had an error|high demand|" + _CODE + r"5(?:0[0234]|2\d)",
    ),
    (
        Kind.NETWORK,
        r"\be(?:connrefused|connreset|notfound|ai_again|timedout|hostunreach|netunreach|pipe)\b|fetch failed|"
        r"connection[_ ]?(?:was )?(?:refused|reset|error|closed|aborted|timed out)|network (?:error|is unreachable)|"
        r"getaddrinfo|name or service not known|name resolution|could not resolve host|socket hang up|"
        r"stream disconnected|(?:unable|failed|cannot) to connect|apiconnectionerror|error sending request|"
        r"request timed out|apitimeouterror|api_retry unknown",
    ),
    (
        Kind.PROGRAM,
        r"command not found|^\S*sh: .*: not found$|(?:unknown|unrecognized|no such|invalid|illegal) (?:option|argument|flag|command)|"
        r"unexpected argument|unrecognized arguments|no such option|model\b[^.]{0,80}\b(?:does not exist|not found)|"
        r"invalid model|issue with the selected model|cannot be used with root|trusted (?:directory|folder)|"
        r"^(?:-\w, )?--[\w-]+ {2}.*\[(?:boolean|string|number|array)\]",
    ),
    (Kind.CONVERSATION, r"no (?:conversation|session|thread|rollout) found|(?:conversation|session|thread) (?:id )?not found"),
    # A query over several lines is one of a migration.
    (Kind.STATE, r"^failed query:$|sqliteerror: database is locked|^database (?:table )?is locked$|sqlite_busy"),
)
"""The patterns of each kind, in the order in which they are tried: the plainest words first.

Case does not count.
"""

_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in PATTERNS)

FAR, NEAR, LAST = 25, 8, 6
"""How many last lines count if the program failed, if it said that it had not failed, and if it was cut off."""
TELLING = 20
"""A text of so many characters says enough to be quoted; shorter ones are quoted only if there is no such text."""
CANNOT_RUN = frozenset({"not-found", "not-executable", "error"})
"""The engine's words for the end of a command that never ran."""


class Failure(Struct, frozen=True):
    kind: Kind
    said: str
    """The program's own words, fit to print."""
    after: float = 0.0
    """The time before which a new try is useless, as the program was told; 0 if it was told none."""
    limit: str = ""
    """The key of the policy whose limit cut the session off; empty if how it ended says which that is."""


def classify(
    end: End | None, reason: str, tail: str, now: float, offset: float, zones: Zones = lambda zone: None
) -> Failure | None:
    """Return the failure, or None if it is the task's own or nobody's.

    `end` is None if the command ended well. Then only what is an error by its form counts, and only the caller knows
    whether there is a result all the same. `reason` is the engine's word for how the command ended. `offset` is the
    local time's distance from UTC in seconds, positive to the east, and `zones` tells that of others.
    """
    if end in (End.DEFERRED, End.INTERRUPTED, End.BEHIND, End.BLOCKED):
        return None
    if end == End.SPENT:
        return Failure(Kind.LIMIT, "its budget is used up, or its context is full")
    if reason in CANNOT_RUN:
        return Failure(Kind.PROGRAM, quote(tail) or reason)
    lines = NEAR if end is None else FAR if end == End.CRASHED else LAST
    counted = _counted(utterances(tail, lines), prose=end == End.CRASHED)
    kinds = [_kind(said) for said in counted]
    kind = next(filter(None, kinds), None)
    if kind:
        same = [said.text for said, found in zip(counted, kinds) if found == kind]
        after = next(filter(None, (resumes(text, now, offset, zones) for text in same)), 0.0)
        passes = kind == Kind.MONEY and after
        return Failure(Kind.RATE if passes else kind, shown(next((t for t in same if len(t) >= TELLING), same[0])), after)
    if end in (End.TIMEOUT, End.STUCK, End.CIRCLES) or reason == "output":
        return Failure(Kind.LIMIT, quote(tail, LAST))
    return None


def at_the_end(tail: str) -> bool:
    """Tell whether the very last thing that a program printed is an error of a known kind: then nothing came after it."""
    return any(said.error and _kind(said) for said in utterances(tail, 1))


def written_down(end: End, failure: Failure | None) -> Failure | None:
    """Return the failure that is recorded with a session: none if there was a result, or nothing to be done."""
    return None if end in (End.SUBMITTED, End.EMPTY, End.GAVE_UP, End.PLANNED, End.DONE) else failure


def _counted(said: list[Utterance], prose: bool) -> list[Utterance]:
    """Return the utterances that count: errors by their form and, with `prose`, lines that merely mention one.

    Mentions count only up to the newest error that is of no known kind, because that error is what made the program
    fail, and up to the newest report of a test runner, because until then the agent was at work.
    """
    found = []
    for one in said:
        if one.error or (prose and one.mentions):
            found.append(one)
        prose = prose and not one.judgement and not (one.error and _kind(one) is None)
    return found


def _kind(said: Utterance) -> Kind | None:
    return next((kind for kind, pattern in _COMPILED if pattern.search(said.text)), None)
