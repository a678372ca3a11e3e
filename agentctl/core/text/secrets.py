"""Keys in texts, found by their form and by the values of variables that hold a key.

The rules have the names that gitleaks gives to what they find; the patterns are agentctl's own. A pattern is tried only
where one of its beginnings stands, and all its repetitions are bounded, so that the time is linear in the text. A rule
that refuses finds only what can hardly be anything but a key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

PLAIN = 16
"""A value of fewer characters that has only letters is found only where it is a whole word."""
RANDOM = 3.5
"""The bits per character above which the rule generic-api-key takes a text for a key."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    begins: tuple[bytes, ...]
    """The possible beginnings of what the pattern matches."""
    pattern: re.Pattern[bytes]
    """The pattern; if it has a group, the secret is what the group matches."""
    refuses: bool = True
    """True if a change that adds such a key is refused."""
    any_case: bool = False
    """True if the case of the beginning does not count."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A key that was found."""

    rule: str
    line: int
    """The number of the line, counted from 1."""
    secret: bytes


def _rule(name: str, begins: str, pattern: str, **more: bool) -> Rule:
    return Rule(name, tuple(begins.encode().split()), re.compile(pattern.encode()), **more)


_BREAK = r"(?:\\[rn]|[\s>|\"',]){1,20}+(?:E {1,4})?"
"""The separator between two lines of base64, plain, quoted or as pytest shows them."""
_BODY = rf"(?:[A-Za-z0-9+/=]{{16,100}}{_BREAK}){{1,800}}+"
_WHOLE = r"(?![A-Za-z0-9])"
_SEPARATE = r"(?<![A-Za-z0-9])"
_TO = r"[\"'\s]{0,3}(?:=>|:=|[:=])[\"'\s]{0,5}"
"""The sign between a name and the value that is assigned to it."""

RULES = (
    _rule(
        "private-key",
        "-----BEGIN",
        rf"-----BEGIN[ A-Z0-9]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?:{_BREAK}|[A-Z][A-Za-z-]{{3,15}}: [^\r\n]{{0,200}}){{0,20}}+"
        rf"(?=(?:[A-Za-z0-9+/=]|\\[rn]|\s){{64}})(?:{_BODY}|[A-Za-z0-9+/=]{{64,20000}})"
        r"(?:[A-Za-z0-9+/=]{0,100}(?:\\[rn]|\s){0,4}-----END[ A-Z0-9]{0,40}KEY(?: BLOCK)?-----)?",
    ),
    _rule("private-key", "Private-Lines:", rf"Private-Lines: [0-9]{{1,4}}\s{{1,4}}({_BODY})"),
    _rule("aws-access-token", "AKIA ASIA", rf"{_SEPARATE}A[KS]IA[A-Z2-7]{{16}}{_WHOLE}"),
    _rule(
        "aws-secret-access-key",
        "secret",
        rf"(?i:secret_?(?:access_?)?key){_TO}([A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])",
        any_case=True,
    ),
    _rule("github-pat", "ghp_", rf"{_SEPARATE}ghp_[A-Za-z0-9]{{36}}{_WHOLE}"),
    _rule("github-fine-grained-pat", "github_pat_", rf"{_SEPARATE}github_pat_[A-Za-z0-9_]{{60,100}}"),
    _rule("github-oauth", "gho_", rf"{_SEPARATE}gho_[A-Za-z0-9]{{36}}{_WHOLE}"),
    _rule("github-app-token", "ghu_ ghs_", rf"{_SEPARATE}gh[us]_[A-Za-z0-9]{{36}}{_WHOLE}"),
    _rule("github-refresh-token", "ghr_", rf"{_SEPARATE}ghr_[A-Za-z0-9]{{36}}{_WHOLE}"),
    _rule("gitlab-pat", "glpat-", rf"{_SEPARATE}glpat-[A-Za-z0-9_-]{{20,60}}"),
    _rule("slack-bot-token", "xoxb-", rf"{_SEPARATE}xoxb-[0-9]{{8,14}}-[A-Za-z0-9-]{{16,80}}"),
    _rule("slack-user-token", "xoxp- xoxe-", rf"{_SEPARATE}xox[pe]-(?:[0-9]{{8,14}}-){{1,3}}[A-Za-z0-9-]{{20,80}}"),
    _rule("slack-app-token", "xapp-", rf"{_SEPARATE}xapp-[0-9]-[A-Z0-9]{{8,14}}-[0-9]{{8,14}}-[a-z0-9]{{32,80}}"),
    _rule(
        "slack-webhook-url",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows)/([A-Z0-9]{8,14}/[A-Z0-9]{8,14}/[A-Za-z0-9]{20,32})",
    ),
    _rule("stripe-access-token", "sk_live_ rk_live_", rf"{_SEPARATE}[sr]k_live_[A-Za-z0-9]{{16,100}}"),
    _rule("openai-api-key", "sk-", rf"{_SEPARATE}sk-[A-Za-z0-9_-]{{16,90}}T3BlbkFJ[A-Za-z0-9_-]{{16,90}}"),
    _rule("anthropic-api-key", "sk-ant-", rf"{_SEPARATE}sk-ant-[a-z]{{3,10}}[0-9]{{2}}-[A-Za-z0-9_-]{{40,200}}"),
    _rule("npm-access-token", "npm_", rf"{_SEPARATE}npm_[A-Za-z0-9]{{36}}{_WHOLE}"),
    _rule("pypi-upload-token", "pypi-Ag", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}"),
    _rule("sendgrid-api-token", "SG.", rf"{_SEPARATE}SG\.[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}{_WHOLE}"),
    _rule("huggingface-access-token", "hf_", rf"{_SEPARATE}hf_[A-Za-z0-9]{{34}}{_WHOLE}"),
    _rule("digitalocean-pat", "dop_v1_", rf"{_SEPARATE}dop_v1_[a-f0-9]{{64}}"),
    _rule("vault-service-token", "hvs.", rf"{_SEPARATE}hvs\.[A-Za-z0-9_-]{{90,130}}"),
    _rule("age-secret-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _rule("gcp-api-key", "AIza", rf"{_SEPARATE}AIza[A-Za-z0-9_-]{{35}}(?![A-Za-z0-9_-])", refuses=False),
    _rule(
        "jwt",
        "eyJ",
        rf"{_SEPARATE}eyJ[A-Za-z0-9_-]{{10,2000}}\.eyJ[A-Za-z0-9_-]{{10,4000}}\.[A-Za-z0-9_-]{{10,2000}}",
        refuses=False,
    ),
    _rule(
        "curl-auth-header",
        "authorization",
        rf"(?i:authorization){_TO}(?i:basic|bearer|token) {{1,3}}([A-Za-z0-9._~+/=-]{{8,4000}})",
        refuses=False,
        any_case=True,
    ),
    _rule("url-password", "://", r"://[^\s/:@\"'<>]{0,100}:([^\s/@\"'<>]{1,200})@", refuses=False),
    _rule(
        "generic-api-key",
        "api_key apikey access_key private_key token secret passwd password credential",
        rf"[A-Za-z_-]{{5,40}}[0-9]{{0,3}}{_TO}([A-Za-z0-9_.+/=~-]{{16,150}})",
        refuses=False,
        any_case=True,
    ),
)
_REFUSING = tuple(rule for rule in RULES if rule.refuses)


def redact(text: str, known: Mapping[str, str] | None = None) -> str:
    """Return `text` with ***REDACTED rule*** in place of every key.

    `known` maps values to the names of the variables that hold them. Each such value is replaced with the name of its
    variable in place of the rule.
    """
    data = text.encode("utf-8", "surrogatepass")
    for value, name in sorted((known or {}).items(), key=lambda item: -len(item[0])):
        data = _exactly(value).sub(f"***REDACTED {name}***".encode(), data)
    lowered = data.lower()
    for rule in RULES:
        if places := list(_found(rule, data, lowered)):
            kept = [data[end:start] for end, start in zip((0, *(p[1] for p in places)), (*(p[0] for p in places), len(data)))]
            data = f"***REDACTED {rule.name}***".encode().join(kept)
            lowered = data.lower()
    return data.decode("utf-8", "surrogatepass")


def holds(text: str) -> bool:
    """Tell whether there is a key in a text."""
    return redact(text) != text


def leaks(data: bytes) -> Iterator[Leak]:
    """Yield the keys in a file that rules refuse, in no order."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode("utf-8", "surrogatepass")
    lowered = data.lower()
    for rule in _REFUSING:
        line, counted = 1, 0
        for start, end in _found(rule, data, lowered):
            line, counted = line + data.count(b"\n", counted, start), start
            yield Leak(rule.name, line, data[start:end])


def _found(rule: Rule, data: bytes, lowered: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the keys of a rule begin and end, in order."""
    last = 0
    for place in sorted(place for begin in rule.begins for place in _places(begin, lowered if rule.any_case else data)):
        found = rule.pattern.match(data, place) if place >= last else None
        if found and _counts(rule.name, found[found.lastindex or 0].decode("latin-1")):
            last = found.end()
            start, end = found.span(found.lastindex or 0)
            yield start, start + len(data[start:end].rstrip())


def _places(begin: bytes, data: bytes) -> Iterator[int]:
    place = data.find(begin)
    while place >= 0:
        yield place
        place = data.find(begin, place + 1)


def _counts(rule: str, secret: str) -> bool:
    """Tell whether a match is a key: False for an example of a manual, and for a word or a name where a key could stand."""
    if rule in ("aws-access-token", "aws-secret-access-key"):
        return "EXAMPLE" not in secret and _bits(secret) > 3
    if rule != "generic-api-key":
        return True
    return (
        "EXAMPLE" not in secret and bool(re.search(r"\d", secret) and re.search(r"[A-Za-z]", secret)) and _bits(secret) > RANDOM
    )


def _bits(text: str) -> float:
    """Return the Shannon entropy per character, in bits."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


@lru_cache(maxsize=256)
def _exactly(value: str) -> re.Pattern[bytes]:
    text = re.escape(value.encode("utf-8", "surrogatepass"))
    plain = value.isalpha() and len(value) < PLAIN
    return re.compile(rb"(?<![A-Za-z0-9_])" + text + rb"(?![A-Za-z0-9_])" if plain else text)
