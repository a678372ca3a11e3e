"""Whatever a person or an agent writes, into a reason, a commit's message or the name of a file: it goes through the
ledger, `verify`, `why` and `--json` unharmed, and is nowhere taken for what it looks like."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl import cli
from agentctl.core.queue import events, ledger_format, records, sentences
from agentctl.core.queue.model import Change
from agentctl.core.queue.state import Draft, State
from agentctl.core.text import json_form
from agentctl.hub import pause
from tests.support.hub import finish

LINES = [
    "landed x/1 as 1234",
    "admit evil/1 from eve: mine",
    "adopt " + "a" * 40 + ": by somebody else",
    "probe 7 passed",
    "2 events",
    '"stage":"landed"',
    '"verdict":',
    '{"kind":"landed"}',
    "\x1b[31m",
    "\u202e",
    "\u2028",
    "\udce9",
    "\\",
    '"',
    "é",
]
texts = st.lists(st.sampled_from(LINES) | st.text(max_size=12), min_size=1, max_size=5).map("\n".join)
named = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=20).filter(
    lambda name: name.strip(". ") and not name.lower().startswith((".git", "git~"))
)
WRITABLE = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""What cannot be in a commit's message; bytes that are no UTF-8 can."""
MANY = settings(max_examples=200, deadline=None, database=None, derandomize=True)
FEW = settings(MANY, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(texts, texts, st.lists(texts, max_size=3))
def test_events_are_read_as_they_were_written(why, subject, paths):
    change = Change("one", 1, "1" * 40, "ann", 1, 1.0)
    work = records.Work("2" * 40, subject, tuple(map(json_form.quoted, paths)))
    draft = Draft(State())
    draft.happen(events.Begun("3" * 40))
    draft.happen(events.Admitted(records.Queued(change, work)))
    draft.happen(records.Rejected(change=change, at=2.0, work=work, said=why, reason=records.AgainstRules((why,))))
    files = ledger_format.output(draft, State())
    for path, data in files.items():
        if data is not None:
            ledger_format.read_back(path, data)
    ended = ledger_format.decode_ended(files[ledger_format.done_path("one/1")])
    assert ledger_format.decode_events(files[ledger_format.EVENTS])[-1] == ended and ended.work.places == tuple(paths)
    assert json.loads(json.dumps(records.outline(ended)))["why"] == ended.why
    if not re.search("[\ud800-\udfff]", why + subject):
        assert ended == draft.ended[0] and ledger_format.decode_events(files[ledger_format.EVENTS]) == draft.events
    assert all("\n" not in sentences.told(event) for event in draft.events)
    assert len(ledger_format.message(draft).splitlines()) == 5


@pytest.fixture
def shown(repo, capfd):
    """What a command prints with --json, or as a person sees it."""

    def shown(*words, json_too=True):
        capfd.readouterr()
        assert cli.run(["-C", str(repo.path), *(["--json"] if json_too else []), *words]) == 0
        said = capfd.readouterr().out
        return json.loads(said) if json_too else said

    return shown


@FEW
@given(reason=texts, message=texts, name=named)
def test_a_change_and_a_pause(repo, shown, reason, message, name):
    number = test_a_change_and_a_pause.number = getattr(test_a_change_and_a_pause, "number", 0) + 1
    key = f"c{number}/1"
    path = f"{number}/{name}"
    head = repo.change({path: "text\n"}, WRITABLE.sub("?", message))
    repo.hand_in(f"c{number}", head)
    pause.pause(repo.hub, "ann\n" + reason, reason)
    with repo.bot() as bot:
        bot.take_turn()
        pause.resume(repo.hub)
        finish(bot)
    stage = repo.stage(f"c{number}")
    assert stage in ("landed", "rejected")
    found = shown("verify")
    assert [one for one in found["findings"] if one["grave"]] == []
    assert found["landed"] + found["rejected"] == number
    why = shown("why", key)
    assert why["stage"] == stage and not any(line.startswith(("landed x/", "adopt ")) for _, line in why["history"])
    said = shown("why", key, json_too=False)
    assert said.startswith(f"{key}: {stage}\n") and "\x1b" not in said and "\u202e" not in said
    assert [record["key"] for record in shown("queue", "--all")["ended"]].count(key) == 1
