"""Which variables of agentctl's own environment a gate or an agent is given.

An allow-list has what a test suite or a compiler needs in order to be found, to speak the right language and to reach a
mirror. Everything else is kept out unless the policy's `pass_env` names it or, for an agent's program, its adapter
does. A pattern is a name, or the beginning of names followed by a *.

A variable of the list that holds a key is kept out all the same, such as a password in a proxy's address or a token of
an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentctl.core.text import secrets

SHARED = {
    "the person and the terminal": (
        "PATH HOME USER LOGNAME HOSTNAME SHELL TMPDIR TMP TEMP LANG LANGUAGE LC_* TZ TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR "
        "CLICOLOR CLICOLOR_FORCE CI DEBIAN_FRONTEND XDG_CACHE_HOME XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_DATA_DIRS "
        "XDG_DATA_HOME XDG_STATE_HOME GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM"
    ),
    "certificates, proxies and mirrors": (
        "SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO NODE_EXTRA_CA_CERTS NIX_SSL_CERT_FILE "
        "http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY "
        "PIP_* UV_* npm_config_cache npm_config_registry NPM_CONFIG_CACHE NPM_CONFIG_REGISTRY GOPROXY GOSUMDB "
        "GONOPROXY GONOSUMDB GOPRIVATE"
    ),
    "toolchains": (
        "CARGO_HOME CARGO_TARGET_DIR RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTFLAGS RUSTC_WRAPPER RUST_BACKTRACE SCCACHE_DIR "
        "GOPATH GOROOT GOBIN GOCACHE GOMODCACHE GOFLAGS GOTOOLCHAIN CGO_ENABLED JAVA_HOME JDK_HOME M2_HOME MAVEN_HOME "
        "GRADLE_HOME GRADLE_USER_HOME SDKMAN_DIR ANDROID_HOME ANDROID_SDK_ROOT ANDROID_NDK_HOME NVM_DIR NVM_BIN FNM_DIR "
        "FNM_MULTISHELL_PATH VOLTA_HOME N_PREFIX PNPM_HOME BUN_INSTALL DENO_DIR COREPACK_HOME NODE_PATH VIRTUAL_ENV "
        "CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_EXE PYENV_ROOT PYENV_VERSION POETRY_HOME PIPX_HOME PYTHONPATH "
        "PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONIOENCODING PYTHONUTF8 RBENV_ROOT RBENV_VERSION GEM_HOME GEM_PATH "
        "RUBYLIB PERL5LIB ASDF_DIR ASDF_DATA_DIR MISE_DATA_DIR DOTNET_ROOT COMPOSER_HOME MIX_HOME HEX_HOME OPAMROOT "
        "OPAM_SWITCH_PREFIX STACK_ROOT HOMEBREW_PREFIX NIX_PATH NIX_PROFILES LOCALE_ARCHIVE CUDA_HOME CUDA_PATH "
        "CUDA_VISIBLE_DEVICES OMP_NUM_THREADS"
    ),
    "compilers": (
        "SDKROOT DEVELOPER_DIR CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH LIBRARY_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH "
        "NIX_CC NIX_CFLAGS_COMPILE NIX_LDFLAGS CCACHE_DIR"
    ),
}
"""The variables that every started program gets, grouped by purpose."""

_SHARED = tuple(name for names in SHARED.values() for name in names.split())
_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|KEYS|TOKENS?|SECRETS?|PASS|PASSWD|PASSWORD|PASSPHRASE|PW|PWD|PAT|CREDENTIALS?|"
    r"AUTH|COOKIE|DSN)(?:_|$)|APIKEY|PASSWORD|SECRET"
)
_BY_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_")
"""The variables that a shell sets for itself."""
_PLACE = re.compile(r"_(?:FILE|PATH|DIR|HOME|SOCK|BIN)$")
SHORTEST = 8
"""The fewest characters of a value that is looked for: a shorter one would be found everywhere."""


def allowed(environment: Mapping[str, str], *granted: Iterable[str]) -> dict[str, str]:
    """Return the variables of `environment` that are passed on.

    These are the shared variables that hold no key, and those that the patterns `granted` name, whatever they hold.
    """
    patterns = tuple(pattern for group in granted for pattern in group)
    return {
        name: value
        for name, value in environment.items()
        if _named(name, patterns) or _named(name, _SHARED) and not _is_secret(name, value)
    }


def values(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables that hold a key, each with the variable's name, for `secrets.redact`."""
    return {
        value: name
        for name, value in environment.items()
        if len(value) >= SHORTEST and not (_PLACE.search(name) and value.startswith("/")) and _is_secret(name, value)
    }


def missed(environment: Mapping[str, str], given: Mapping[str, str], text: str) -> list[str]:
    """List the variables that were kept out and that a process mentions in its output.

    Names that may as well be ordinary words, such as `container`, are left out.
    """
    words = {word for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]{3,}", text) if word.isupper() or "_" in word}
    return sorted(words & environment.keys() - given.keys() - set(_BY_SHELLS))


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)


def _is_secret(name: str, value: str) -> bool:
    return (name not in _BY_SHELLS and bool(_SECRET.search(name.upper()))) or secrets.holds(value)
