"""The names of the protocol's refs, and the names that agents, tasks and changes may have.

refs/agentctl/inbox/<agent>/<change>/<revision>    a submission, created once
refs/agentctl/state                                the ledger
refs/agentctl/pause                                nothing lands while it stands
refs/agentctl/stage/<n>                            a staged commit under test
refs/agentctl/outbox/<agent>/<change>/<revision>   the answer to a rejected revision
refs/agentctl/tasks/<task>                         the task's events
refs/agentctl/archive                              the tasks that have left the list
refs/agentctl/claims/<task>                        who works on the task
refs/agentctl/salvage/<agent>/<n>                  rescued work
refs/agentctl/salvage/<agent>/rest                 what an agent left beside a result
refs/agentctl/salvage/moved/<n>                    where trunk or the ledger was, or what stood there
refs/agentctl/salvage/_doctor/<n>                  what a ref held that does not match the ref's name, or stood in its way
refs/agentctl/verdicts                             the bot's verdicts by gate and tree
refs/agentctl/hints                                verdicts of others, which prove nothing
refs/agentctl/notebook                             what agents noted for one another
refs/agentctl/bot                                  the lease of the bot, where the hub stands on a remote
refs/agentctl/stations/<station>                   a station at which a fleet works, renewed as it works
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

ROOT = "refs/agentctl/"
INBOX = ROOT + "inbox/"
OUTBOX = ROOT + "outbox/"
STAGE = ROOT + "stage/"
TASKS = ROOT + "tasks/"
CLAIMS = ROOT + "claims/"
SALVAGE = ROOT + "salvage/"
FOUND = SALVAGE + "_doctor/"
"""Below it are refs that hold what refs of the wrong kind or in the wrong place pointed to. No agent can have this name."""
STATE = ROOT + "state"
PAUSE = ROOT + "pause"
VERDICTS = ROOT + "verdicts"
HINTS = ROOT + "hints"
NOTEBOOK = ROOT + "notebook"
ARCHIVE = ROOT + "archive"
BOT = ROOT + "bot"
STATIONS = ROOT + "stations/"
KEPT = "refs/agentctl-kept/"
"""Below it are salvage refs that a station has for itself: they hold work that the remote declines."""
AGENT_BRANCH = "refs/heads/agent/"

REVISION = 10**9
"""A number above every revision."""
LONGEST = 100
"""The most characters of a name."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,99}")


FOLDERS = (INBOX, OUTBOX, STAGE, TASKS, CLAIMS, SALVAGE, STATIONS)
LEAVES = (STATE, PAUSE, VERDICTS, HINTS, NOTEBOOK, ARCHIVE, BOT)


def in_the_way(name: str) -> bool:
    """Tell whether a ref stands where the protocol has a folder of refs, or below a ref of the protocol.

    As long as it stands, some ref of the protocol cannot be written.
    """
    below = name.removeprefix(ROOT).split("/")
    return (
        any(folder.startswith(name + "/") for folder in FOLDERS)
        or name.startswith((INBOX, OUTBOX))
        and len(below) != 4
        or name.startswith(SALVAGE)
        and len(below) < 3
        or name.startswith((STAGE, TASKS, CLAIMS, STATIONS))
        and len(below) > 2
        or name.startswith(tuple(leaf + "/" for leaf in LEAVES))
    )


def valid_name(name: str) -> bool:
    """Tell whether a name is safe as one component of a ref, a path and a shell word."""
    return bool(_NAME.fullmatch(name)) and not name.endswith(".lock")


def slug(text: str, limit: int = 60) -> str:
    """Return a valid name made from any text; empty if no part of the text can be kept."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
    return words[:limit].strip("-")


def of_title(title: str) -> str:
    """Return the name of a task with this title, without accents; where no letter can be kept, a digest stands for it."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", title) if not unicodedata.combining(char))
    return slug(plain) or f"task-{distinct(title)}"


def distinct(text: str, shown: str | None = None, limit: int = LONGEST) -> str:
    """Return a valid name made from any text, and from no other text; empty for no text.

    It is the text itself if that is a valid name. Else it is what can be kept of the text (or of `shown`, a part of
    it), with a digest of the whole text.
    """
    if not text or (valid_name(text) and len(text) <= limit):
        return text
    digest = hashlib.sha1(text.encode(errors="surrogatepass")).hexdigest()[:8]
    kept = slug(text if shown is None else shown, min(60, limit - len(digest) - 1))
    return f"{kept}-{digest}" if kept else digest


def of_branch(name: str) -> str:
    """Return the name that the change of a branch gets unless somebody gives it another one."""
    return distinct(name, name.removeprefix("agent/"))


def of_person(name: str) -> str:
    """Return the name of the agent that stands for a person.

    Names that differ only in case and punctuation give the same agent.
    """
    spelt = "".join(char for char in name if char.isascii() or char.isalnum())
    return slug(name, 40) if spelt.isascii() and slug(name, 41) == slug(name, 40) else distinct(name, limit=40)


def branch(name: str) -> str:
    return "refs/heads/" + name


def inbox(agent: str, change: str, revision: int) -> str:
    return f"{INBOX}{agent}/{change}/{revision}"


def outbox(agent: str, change: str, revision: int) -> str:
    return f"{OUTBOX}{agent}/{change}/{revision}"


def is_submission(ref: str) -> bool:
    """Tell whether an inbox ref has the form of the protocol."""
    try:
        return bool(split_submission(ref, INBOX))
    except ValueError:
        return False


def split_submission(ref: str, prefix: str) -> tuple[str, str, int]:
    """Return (agent, change, revision) of an inbox or outbox ref.

    Raise ValueError if the ref does not have the form of the protocol.
    """
    agent, change, revision = ref.removeprefix(prefix).split("/")
    if not (valid_name(agent) and valid_name(change) and revision.isascii() and revision.isdigit()):
        raise ValueError(ref)
    if revision.startswith("0") or len(revision) >= len(str(REVISION)):
        raise ValueError(ref)
    return agent, change, int(revision)
