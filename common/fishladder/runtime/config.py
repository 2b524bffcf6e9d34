"""Settings: a TOML file, overridden by FISHLADDER_... environment variables, overridden by flags; checked strictly
against a msgspec struct, so that a mistyped name is an error that names it.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)


def load_config(
    kind: type[T],
    section: str,
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> T:
    """Build a `kind` from `[section]` of a TOML file, FISHLADDER_<SECTION>_<NAME> and flags (None = not given).

    A secret may come from a file: FISHLADDER_<SECTION>_<NAME>_FILE names it, its text less the last line break is
    the value. Raises `ConfigError` naming the file, variable or flag.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _section(file, section)
    values |= _from_env(kind, section, os.environ if env is None else env)
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        where = f" in {file}" if file else ""
        raise ConfigError(f"settings of [{section}]{where}: {error}") from None


def _section(file: Path, section: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"settings file {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {file}: {error}") from None
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"settings file {file}: [{section}] must be a table")
    return table


def _from_env(kind: type[msgspec.Struct], section: str, env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in kind.__struct_encode_fields__:
        variable = f"FISHLADDER_{section}_{name}".upper()
        if variable in env:
            found[name] = env[variable]
        elif f"{variable}_FILE" in env:
            found[name] = read_secret(Path(env[f"{variable}_FILE"]), f"{variable}_FILE")
    return found
