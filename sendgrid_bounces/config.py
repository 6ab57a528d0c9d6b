"""Settings: the table of names, defaults and help, and the typed Config read from it.

A setting comes from, in descending precedence: an option of ``sendgrid-bounces``, the
environment variable ``SENDGRID_BOUNCES_<NAME>``, the settings file, the default.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sendgrid_bounces.core.accounts import DEFAULT_COSTS, ScryptCosts
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.hosts import is_loopback
from sendgrid_bounces.core.messages import suggest
from sendgrid_bounces.core.profiles import parse_profile
from sendgrid_bounces.redaction import INVALID_NAME, is_printable_name

VARIABLE_PREFIX = "SENDGRID_BOUNCES_"

#: The variable that names the settings file.
FILE = f"{VARIABLE_PREFIX}CONFIG"

#: The variable that names the server that commands use instead of a database.
URL = f"{VARIABLE_PREFIX}URL"

#: The seed file of the demo.
DEMO_SEED = resources.files("sendgrid_bounces") / "demo.yaml"

#: Variables with the prefix that are not settings: the two above, variables of the
#: tests, and variables that Docker and Kubernetes define for a service of this name.
_NOT_A_SETTING = re.compile("CONFIG=|URL=|TEST_|SERVICE_|PORT_|PORT=[a-z]+://")

#: Length at which an error message truncates a value.
_MAX_VALUE = 40

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of :data:`SETTINGS`.

    :param choices: the allowed texts; empty if any text is allowed.
    :param bounds: the smallest and the largest value of an integer.
    :param is_path_list: whether the value is a list of paths, in text separated as in
        ``PATH``.
    :param is_profile: whether the value is a profile.
    :param pattern: regular expression of the whole text, described by *requirement*.
    :param convert: converts a match of *pattern*.
    """

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    is_path_list: bool = False
    is_profile: bool = False
    pattern: str = "(?s:.*)"
    requirement: str = ""
    convert: Callable[[re.Match[str]], Any] = re.Match.group

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return VARIABLE_PREFIX + self.name

    def parse(self, value: object) -> Any:
        """Return the typed value of *value*: text, or an integer or list of a file.

        :raises ValueError: with the problem.
        """
        if self.is_path_list:
            return _parse_paths(value)
        if self.is_profile:
            return _parse_profile(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("must be text or an integer")  # noqa: TRY004 - see above
        text = str(value)
        shown = f"(got {text[:_MAX_VALUE]!r})"
        if self.choices and text not in self.choices:
            raise ValueError(f"must be {' or '.join(self.choices)} {shown}")
        if self.bounds:
            if not _is_within(text, *self.bounds):
                least, most = self.bounds
                raise ValueError(f"must be an integer from {least} to {most} {shown}")
            return int(text)
        match = re.fullmatch(self.pattern, text)
        if match is None:
            raise ValueError(self.requirement)  # the value can be a secret
        return self.convert(match)


def _convert_costs(match: re.Match[str]) -> ScryptCosts:
    if match[1] is None:
        return DEFAULT_COSTS
    return int(match[1]), int(match[2]), int(match[3])


SETTINGS = (
    Setting(
        "DATABASE_URL",
        "sqlite:///sendgrid-bounces.sqlite3",
        "Database: sqlite:///FILE or mysql://USER:PASSWORD@HOST:3306/NAME.",
    ),
    Setting(
        "SEED",
        "",
        "Seed files to load at startup, separated as in PATH.",
        is_path_list=True,
    ),
    Setting(
        "AUTH",
        "strict",
        "Check API keys (strict), or accept every key and create unknown accounts "
        "(any).",
        ("strict", "any"),
    ),
    Setting(
        "PROFILE",
        "documented",
        "Vendor behaviour for accounts without a profile of their own: documented, "
        "recorded, or points such as count=integer.",
        is_profile=True,
    ),
    Setting("HOST", "127.0.0.1", "Address to listen on."),
    Setting(
        "PORT", "8000", "Port to listen on; 0 picks a free port.", bounds=(0, 65_535)
    ),
    Setting("WORKERS", "2", "Number of worker processes.", bounds=(1, 64)),
    Setting(
        "THREADS",
        "16",
        "Number of requests that a worker serves at the same time.",
        bounds=(1, 256),
    ),
    Setting(
        "TIMEOUT",
        "30",
        "Disconnect a client that keeps the server waiting for this many seconds.",
        bounds=(1, 3_600),
    ),
    Setting("SSL_CERT", "", "TLS certificate chain (PEM file); enables HTTPS."),
    Setting("SSL_KEY", "", "Private key of the TLS certificate (PEM file)."),
    Setting(
        "ACCESS_LOG",
        "",
        "Access log: a file, or - for stderr. Credentials are redacted.",
    ),
    Setting(
        "KEY_HASH",
        "scrypt",
        "Hash of API keys: scrypt, or scrypt:N:r:p to set its costs, such as "
        "scrypt:32768:8:1.",
        pattern="scrypt(?::([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9}))?",
        requirement="must be scrypt or scrypt:N:r:p",
        convert=_convert_costs,
    ),
    Setting(
        "CONTROL",
        "auto",
        "Control endpoints below /_emulator/. auto means on with a control token, or "
        "if serve listens on a loopback address.",
        ("auto", "on", "off"),
    ),
    Setting(
        "CONTROL_TOKEN",
        "",
        "Bearer token that the control endpoints require.",
        pattern="[!-~]{0,256}",
        requirement="must be at most 256 visible ASCII characters",
    ),
    Setting(
        "JOURNAL_SIZE",
        "1000",
        "Number of requests kept in the request log, with control endpoints on; 0 "
        "disables it.",
        bounds=(0, 999_999),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of an application, converted: :data:`SETTINGS` in lower case.

    :param seed: absolute paths.
    :param timeout: seconds.
    :param control: whether the control endpoints exist; ``auto`` is resolved.
    """

    database_url: str = field(repr=False)  # can contain a password
    seed: tuple[str, ...]
    auth: str
    profile: str
    host: str
    port: int
    workers: int
    threads: int
    timeout: int
    ssl_cert: str
    ssl_key: str
    access_log: str
    key_hash: ScryptCosts
    control: bool
    control_token: str = field(repr=False)
    journal_size: int


def load_config(
    options: Mapping[str, Any] = _EMPTY,
    environment: Mapping[str, str] = _EMPTY,
    file: str | None = None,
    *,
    is_serve: bool = False,
) -> Config:
    """Return the settings of *options*, *environment* and *file*, in this precedence.

    :param options: values by setting name: text, integers, or a list of paths.
    :param file: a settings file; if None, the file that *environment* names.
    :param is_serve: whether ``serve`` listens on the host: on a loopback address,
        ``control=auto`` then means on.
    :raises ParametersError: with every problem of the file, or every problem of the
        options and variables.
    """
    path = environment.get(FILE) if file is None else file
    texts = {
        **_filter_environment(environment),
        **{VARIABLE_PREFIX + name: value for name, value in options.items()},
    }
    values = {
        **_parse({setting.name: setting.default for setting in SETTINGS}, _BY_NAME),
        **(_read_file(path) if path else {}),
        **_parse(texts, _BY_VARIABLE),
    }
    if values["control"] == "auto":
        is_local = is_serve and is_loopback(values["host"])
        values["control"] = bool(values["control_token"]) or is_local
    else:
        values["control"] = values["control"] == "on"
    return Config(**values)


_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}
_BY_FIELD = {setting.name.lower(): setting for setting in SETTINGS}


def _filter_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are meant as settings; an empty variable is unset."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(VARIABLE_PREFIX)
        and value
        and not _NOT_A_SETTING.match(f"{name}={value}", len(VARIABLE_PREFIX))
    }


def _read_file(path: str) -> dict[str, Any]:
    """Return the values in a file by field of Config; null means unset.

    :raises ParametersError: with every problem, after the path.
    """
    from sendgrid_bounces.schemas import loader  # loads PyYAML

    try:
        document = loader.parse(loader.read_text(path))
        return _parse({} if document is None else document, _BY_FIELD)
    except ParametersError as error:
        raise error.within(path, ": ") from None


def _parse(values: Any, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the typed *values* by field of Config.

    :param settings: the settings under the names that *values* uses.
    :raises ParametersError: with every problem.
    """
    if not isinstance(values, Mapping):
        raise ParametersError([("", "must be a mapping of settings")])
    parsed, problems = {}, []
    for name, value in values.items():
        if name not in settings:
            problems.append(_unknown(str(name), settings))
        elif value is not None:
            setting = settings[name]
            try:
                parsed[setting.name.lower()] = setting.parse(value)
            except ValueError as error:
                problems.append((name, str(error)))
    if problems:
        raise ParametersError(problems)
    return parsed


def _unknown(name: str, settings: Mapping[str, Setting]) -> tuple[str, str]:
    """Return the problem of an unknown name, which can be a mistyped secret."""
    if not is_printable_name(name.removeprefix(VARIABLE_PREFIX)):
        return "", INVALID_NAME
    return name, f"no such setting ({suggest(name, settings)})"


def _parse_profile(value: object) -> str:
    try:
        return parse_profile(value)
    except ParametersError as error:
        place, text = error.problems[0]
        raise ValueError(f"{place.partition('.')[2]} {text}".strip()) from None


def _parse_paths(value: object) -> tuple[str, ...]:
    """Return absolute paths, so that they stay valid in another working directory."""
    paths = value.split(os.pathsep) if isinstance(value, str) else value
    if not isinstance(paths, list | tuple) or not all(
        isinstance(path, str) for path in paths
    ):
        raise ValueError("must be a path or a list of paths")
    return tuple(str(Path(path).absolute()) for path in paths if path)


def _is_within(text: str, least: int, most: int) -> bool:
    """Return whether *text* is an integer from *least* to *most*."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return is_number and least <= int(text) <= most
