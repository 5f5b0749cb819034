"""Settings of a program: one TOML file and the environment become one frozen object.

Read once, at the start, and handed down. An unknown key is an error, never ignored; a message
names the key, its value, where it stands and what to do. Which settings there are is defined by
each program, as a subclass of ``ProgramSettings``.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from edoccore.errors import SettingsError
from edockit.logs import redacted

NESTING = "__"  # EDOCNODE_TLS__PORT is the key "port" of the table "tls"
MAX_FILE_BYTES = 64 * 1024

Settings = TypeVar("Settings", bound="ProgramSettings")


class ProgramSettings(BaseSettings):
    """All settings of a program; subclasses list them with type, unit and default."""

    model_config = ConfigDict(frozen=True, extra="forbid")  # type: ignore[assignment]  # narrower

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes only what ``load_settings`` found, so that nothing is read twice."""
        return (init_settings,)


def load_settings(
    kind: type[Settings],
    file: Path,
    *,
    prefix: str,
    not_settings: frozenset[str] = frozenset(),
) -> Settings:
    """Reads the settings of a program.

    Args:
        kind: Its class of settings.
        file: TOML; a missing file is an empty one.
        prefix: Of its environment variables, such as ``EDOCNODE_``; they beat the file.
        not_settings: Variables with the prefix that mean something else, such as
            ``EDOCNODE_DATA``.

    Raises:
        SettingsError: A key is unknown or a value cannot be used, or the file is not TOML.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(prefix) and name not in not_settings
    }
    _check_variables(kind, variables, prefix)
    in_file = _read_toml(file)
    source = EnvSettingsSource(kind, env_prefix=prefix, env_nested_delimiter=NESTING)
    merged = _merged(in_file, source())
    try:
        return kind(**merged)
    except ValidationError as error:
        raise _explained(error.errors()[0], file, in_file, prefix=prefix) from error


def settings_table(settings: BaseModel) -> dict[str, Any]:
    """Returns all settings as plain values, secrets redacted, for ``config show``."""
    table: dict[str, Any] = redacted(settings.model_dump(mode="json"))
    return table


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(
            f"the settings in {file} cannot be read: {error.strerror}",
            hint="check who owns the file",
            file=str(file),
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(
            f"the settings in {file} have more than {MAX_FILE_BYTES} bytes",
            hint="this is hardly a file of settings; look at what was written to it",
            file=str(file),
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(
            f"the settings in {file} are not valid TOML: {error}",
            hint="correct that line; texts need quotes",
            file=str(file),
        ) from error


def _check_variables(kind: type[BaseModel], variables: Mapping[str, str], prefix: str) -> None:
    """Refuses a variable that sets nothing, because it is most likely misspelt."""
    for name in sorted(variables):
        key = name.removeprefix(prefix).partition(NESTING)[0].lower()
        if key not in kind.model_fields:
            raise SettingsError(
                f"the environment variable {name} sets nothing",
                hint=f"remove it, or use one of: {_known(kind)}",
                key=key,
            )


def _explained(
    details: ErrorDetails, file: Path, in_file: Mapping[str, Any], *, prefix: str
) -> SettingsError:
    path = [str(part) for part in details["loc"]]
    key = ".".join(path)
    place = str(file) if _has(in_file, path) else f"the environment ({prefix}...)"
    if details["type"] == "missing":
        return SettingsError(
            f"the setting {key} is missing", hint=f"add it to {file}", key=key, file=str(file)
        )
    if details["type"] == "extra_forbidden":
        return SettingsError(
            f"there is no setting {key} (in {place})",
            hint="remove it or correct its name; see: config show",
            key=key,
            file=str(file),
        )
    value = redacted({path[-1] if path else "": details["input"]})
    shown = str(next(iter(value.values())))[:80]
    return SettingsError(
        f"the setting {key} = {shown!r} in {place} cannot be used: {details['msg']}",
        hint="correct the value; see: config show",
        key=key,
        file=str(file),
    )


def _has(table: Mapping[str, Any], path: list[str]) -> bool:
    current: Any = table
    for part in path:
        if not isinstance(current, Mapping) or part not in current:
            return isinstance(current, list)
        current = current[part]
    return True


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Puts one table over another, key by key, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)  # noqa: PLW2901
        merged[key] = value
    return merged


def _known(kind: type[BaseModel]) -> str:
    return ", ".join(sorted(kind.model_fields))
