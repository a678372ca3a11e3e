"""Keys are found by their form, and nothing else is."""

import random
import string

import pytest

from agentctl.core.text import secrets
from agentctl.core.text.secrets import RULES, leaks, redact

DRAWN = random.Random(1)
"""The keys are made here, so that this file holds none."""


def drawn(count, letters=string.ascii_letters + string.digits):
    return "".join(DRAWN.choice(letters) for _ in range(count))


def pem(kind="PRIVATE KEY", lines=12, more=""):
    body = "".join(drawn(64, string.ascii_letters + string.digits + "+/") + "\n" for _ in range(lines))
    return f"-----BEGIN {kind}-----\n{more}{body}{drawn(20)}==\n-----END {kind}-----\n"


UPPER = string.ascii_uppercase
B32 = UPPER + "234567"
KEYS = {
    "aws-access-token": "AKIA" + drawn(16, B32),
    "aws-secret-access-key": "aws_secret_access_key = " + drawn(40, string.ascii_letters + string.digits + "/+"),
    "github-pat": "ghp_" + drawn(36),
    "github-fine-grained-pat": "github_pat_" + drawn(22) + "_" + drawn(59),
    "github-oauth": "gho_" + drawn(36),
    "github-app-token": "ghs_" + drawn(36),
    "github-refresh-token": "ghr_" + drawn(36),
    "gitlab-pat": "glpat-" + drawn(20),
    "slack-bot-token": f"xoxb-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}",
    "slack-user-token": f"xoxp-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(32)}",
    "slack-app-token": f"xapp-1-A{drawn(10, UPPER)}-{drawn(13, string.digits)}-{drawn(64, 'abcdef0123456789')}",
    "slack-webhook-url": f"https://hooks.slack.com/services/T{drawn(8, UPPER)}/B{drawn(8, UPPER)}/{drawn(24)}",
    "stripe-access-token": "sk_live_" + drawn(24),
    "openai-api-key": f"sk-proj-{drawn(60)}T3BlbkFJ{drawn(60)}",
    "anthropic-api-key": "sk-ant-api03-" + drawn(93) + "AA",
    "npm-access-token": "npm_" + drawn(36),
    "pypi-upload-token": "pypi-AgEIcHlwaS5vcmc" + drawn(120),
    "sendgrid-api-token": f"SG.{drawn(22)}.{drawn(43)}",
    "huggingface-access-token": "hf_" + drawn(34),
    "digitalocean-pat": "dop_v1_" + drawn(64, "0123456789abcdef"),
    "vault-service-token": "hvs." + drawn(95),
    "age-secret-key": "AGE-SECRET-KEY-1" + drawn(58, UPPER + string.digits),
    "gcp-api-key": "AIza" + drawn(35),
    "jwt": f"eyJ{drawn(30)}.eyJ{drawn(60)}.{drawn(43)}",
    "curl-auth-header": "Authorization: Bearer " + drawn(30),
    "url-password": f"postgres://app:{drawn(9)}@db.example/app",
    "generic-api-key": f'"api_key": "{drawn(32)}"',
    "private-key": pem(),
}
PEMS = {
    "plain": pem(),
    "rsa": pem("RSA PRIVATE KEY"),
    "openssh": pem("OPENSSH PRIVATE KEY"),
    "short": pem("EC PRIVATE KEY", 2),
    "encrypted": pem("RSA PRIVATE KEY", 12, f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{drawn(32, B32)}\n\n"),
    "pgp": pem("PGP PRIVATE KEY BLOCK", 12, "Version: GnuPG v2\n\n"),
    "windows": pem().replace("\n", "\r\n"),
    "json": '{"private_key": "' + pem().replace("\n", "\\n") + '", "type": "service_account"}',
    "indented": pem().replace("\n", "\n      "),
    "quoted": pem().replace("\n", "\n> "),
    "pytest": pem().replace("\n", "\nE   "),
    "one line": pem().replace("\n", ""),
    "spaces": pem().replace("\n", " "),
    "cut off": pem()[:500],
    "putty": "PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 8\n" + (drawn(64) + "\n") * 8,
}
HARMLESS = [
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "xAKIA" + drawn(16, B32),
    "-----BEGIN PUBLIC KEY-----\n" + drawn(64) + "\n-----END PUBLIC KEY-----",
    "a file with a -----BEGIN PRIVATE KEY----- line in it",
    "grep -r -- '-----BEGIN RSA PRIVATE KEY-----' src tests docs examples scripts configuration tools bench",
    "sk-button-primary-large-active",
    "key: value",
    "token = some.module.function_name",
    "tokens: 12345678901234567890",
    "password=changeme",
    "secret: [one, two]",
    "http://localhost:8080/a@b",
    "git@github.com:owner/name.git",
    "ssh://git@host:22/x",
    "ghp_short",
    drawn(40, "0123456789abcdef"),
    "Author: Ann <ann@example.com>",
    "sha256:" + drawn(64, "0123456789abcdef"),
    "Authorization: Basic",
    "npm_config_registry",
]


def of_key(found):
    """The characters that make it a key: without the words before it."""
    return found.splitlines()[1] if found.startswith("-----") else found.split()[-1].strip('"')[-20:]


def test_every_rule_is_tried():
    assert {rule.name for rule in RULES} == KEYS.keys()


@pytest.mark.parametrize("name", KEYS)
def test_what_a_rule_finds_is_redacted_and_the_rest_stays(name):
    told = redact(f"before it\n{KEYS[name]}\nafter it\n")
    assert told.startswith("before it\n") and told.endswith("\nafter it\n")
    assert f"***REDACTED {name}***" in told
    assert KEYS[name].startswith("postgres") or of_key(KEYS[name]) not in told


@pytest.mark.parametrize("kind", PEMS)
def test_a_private_key_is_found_however_it_is_written(kind):
    told = redact("before\n" + PEMS[kind] + "\nafter\n")
    assert "***REDACTED private-key***" in told
    assert told.startswith("before\n") and told.endswith("\nafter\n")
    assert not [line for line in PEMS[kind].replace("\\n", "\n").splitlines() if len(line) > 60 and line.strip("E >") in told]
    assert [(leak.rule, leak.line) for leak in leaks(("a\nb\n" + PEMS[kind]).encode())] == [
        ("private-key", 5 if kind == "putty" else 3)
    ]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_key_is_left_alone(text):
    assert redact(text) == text
    assert not secrets.holds(text)
    assert list(leaks(text.encode())) == []


def test_what_is_refused_cannot_well_be_anything_but_a_key():
    lax = {"gcp-api-key", "jwt", "curl-auth-header", "url-password", "generic-api-key"}
    for name, key in KEYS.items():
        assert [leak.rule for leak in leaks(key.encode())] == ([] if name in lax else [name])


def test_keys_are_found_in_utf_16_and_among_binary_bytes():
    text = "line one\n" + pem() + KEYS["github-pat"]
    for data in (text.encode("utf-16"), b"\0\xff\n" + text[9:].encode() + b"\0"):
        assert [(leak.rule, leak.line) for leak in leaks(data)] == [("private-key", 2), ("github-pat", 17)]


def test_the_values_of_variables_are_redacted_by_name():
    known = {"correct-horse": "PASSPHRASE", "postgres": "DB_PASSWORD", "a-longer-correct-horse-battery": "TOKEN"}
    told = redact("xcorrect-horsex postgresql postgres: a-longer-correct-horse-battery", known)
    assert told == "x***REDACTED PASSPHRASE***x postgresql ***REDACTED DB_PASSWORD***: ***REDACTED TOKEN***"


def test_text_that_is_not_text_survives():
    text = "\udcff\ud800 İ ß " + KEYS["github-pat"] + " \x1b[2J\0"
    assert redact(text) == "\udcff\ud800 İ ß ***REDACTED github-pat*** \x1b[2J\0"
