"""What of an environment is passed on, and what of it is a key."""

import re
from pathlib import Path

import pytest

from agentctl.core.policy import environment
from agentctl.fleet.adapters import ADAPTERS

PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "GITHUB_TOKEN": "planted-github",
    "OPENAI_API_KEY": "planted-openai",
    "DATABASE_URL": "postgres://app:planted-pw@db/app",
    "SSH_AUTH_SOCK": "/tmp/ssh-1/agent.2",
    "NPM_TOKEN": "planted-npm",
    "GIT_ASKPASS": "/bin/askpass",
    "GIT_DIR": "/x",
    "PYTEST_ADDOPTS": "-k nothing",
    "AGENTCTL_HUB": "/hub",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/ann/key.json",
    "UV_PUBLISH_TOKEN": "planted-uv",
    "PIP_PASSWORD": "planted-pip",
    "KUBECONFIG": "/home/ann/.kube/config",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1/bus",
    "LD_PRELOAD": "/x.so",
}
NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/ann",
    "LANG": "C",
    "LC_TIME": "C",
    "CI": "true",
    "CARGO_HOME": "/c",
    "VIRTUAL_ENV": "/v",
    "https_proxy": "http://proxy:3128",
    "PIP_INDEX_URL": "https://mirror/simple",
    "JAVA_HOME": "/java",
    "GOPROXY": "https://go",
}


def test_what_is_needed_is_passed_on_and_keys_are_not():
    assert environment.allowed(NEEDED | PLANTED) == NEEDED


def test_what_the_policy_names_is_passed_on_whatever_it_holds():
    found = environment.allowed(NEEDED | PLANTED, ("DATABASE_URL",), ("AWS_*",))
    assert found == NEEDED | {name: PLANTED[name] for name in ("DATABASE_URL", "AWS_SECRET_ACCESS_KEY")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("https_proxy", "http://ann:secret@proxy:3128"),
        ("PIP_EXTRA_INDEX_URL", "https://ann:secret@mirror/simple"),
        ("CFLAGS", "-DAPI_KEY=a1b2c3d4e5f6g7h8i9"),
        ("RUSTFLAGS", "--cfg ghp_" + "a1B2c3" * 6),
    ],
)
def test_a_variable_of_the_list_is_kept_out_while_it_holds_a_key(name, value):
    assert environment.allowed({name: value}) == {}
    assert environment.allowed({name: value}, (name,)) == {name: value}


@pytest.mark.parametrize("name", ADAPTERS)
def test_no_adapter_passes_on_what_is_no_providers(name):
    found = environment.allowed(PLANTED, ADAPTERS[name].passes)
    assert found.keys() <= {"OPENAI_API_KEY"}


def test_each_adapter_passes_on_its_providers_key_and_no_others():
    keys = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o", "GEMINI_API_KEY": "g", "OPENROUTER_API_KEY": "r"}
    one = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY", "qwen": "OPENAI_API_KEY"}
    none = {"cursor-agent", "copilot", "amp"}
    for name, adapter in ADAPTERS.items():
        expected = {one[name]} if name in one else set() if name in none else keys.keys()
        assert environment.allowed(keys, adapter.passes).keys() == expected


def test_values_are_those_of_variables_that_hold_a_key():
    found = environment.values(NEEDED | PLANTED)
    assert found == {
        value: name
        for name, value in PLANTED.items()
        if name
        in {
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "OPENAI_API_KEY",
            "DATABASE_URL",
            "NPM_TOKEN",
            "UV_PUBLISH_TOKEN",
            "PIP_PASSWORD",
            "GOOGLE_APPLICATION_CREDENTIALS",
        }
    }
    assert environment.values({"PASSWORD": "short", "PWD": "/a/long/folder", "KEYBOARD": "qwertz-layout"}) == {}


def test_what_was_missed_is_what_the_output_names():
    given = environment.allowed(NEEDED | PLANTED)
    text = "KeyError: 'DATABASE_URL'\nPATH=/bin\nAWS_SECRET_ACCESS_KEYS NPM_TOKENS PWD in the container\n"
    assert environment.missed(NEEDED | PLANTED | {"PWD": "/", "container": "oci"}, given, text) == ["DATABASE_URL"]


def test_the_manual_lists_what_is_passed_on():
    page = (Path(__file__).parents[2] / "man/man5/agentctl-policy.5").read_text().replace("\\-", "-")
    listed = set(re.findall(r"[A-Za-z_0-9]+\*?", page[page.index(".SH ENVIRONMENT") :]))
    named = {name for names in environment.SHARED.values() for name in names.split()}
    named |= {name for adapter in ADAPTERS.values() for name in adapter.passes}
    assert named - listed == set()


def test_what_a_shell_sets_itself_is_neither_missed_nor_a_key():
    own = {name: "x" * 20 for name in ("PWD", "OLDPWD", "SHLVL", "_")}
    assert environment.missed(own, {}, "PWD OLDPWD SHLVL _") == [] and environment.values(own) == {}
