"""All settings of the registry: a TOML file in the data folder, the environment before it.

Every key can be given as ``EDOCREGISTRY_<KEY>`` in the environment. An unknown key in the file is
an error, because it is a misspelt one.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edoccore.errors import SettingsError

ENVIRONMENT_PREFIX = "EDOCREGISTRY_"
MAX_FILE_BYTES = 64 * 1024

Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):[0-9]{1,5}$")]


class RegistrySettings(BaseSettings):
    """What an operator can choose.

    Attributes:
        network: Name of the network; stands in every statement and can never be changed.
        listen: host:port that ``serve`` binds; IPv6 in brackets.
        advertise: host:port by which nodes reach it; stands in join strings.
        seal_days: Days that a seal certificate holds, 30 to 1095.
        crl_url: Goes into seal certificates as the place of the CRL; the list itself is in the
            directory.
        log_level: Least important event that is logged.
        log_format: ``text`` for people, ``json`` for collectors.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    network: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    listen: Address
    advertise: Address = ""
    seal_days: Annotated[int, Field(ge=30, le=1095)] = 730
    crl_url: Annotated[str, Field(max_length=500)] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, object]) -> dict[str, object]:
        filled = dict(values)
        if not filled.get("advertise"):
            filled["advertise"] = filled.get("listen", "")
        if not filled.get("crl_url"):
            filled["crl_url"] = f"urn:edoc:{filled.get('network', '')}:revocations"
        return filled

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the settings file and the environment.

        Raises:
            SettingsError: A key is unknown or a value cannot be used; names it.
        """
        try:
            with path.open("rb") as file:
                values = tomllib.loads(file.read(MAX_FILE_BYTES).decode())
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{path} cannot be read: {error}.", hint="Correct or restore the file."
            ) from error
        return cls.check(values, str(path))

    @classmethod
    def check(cls, values: dict[str, object], source: str) -> Self:
        """Builds settings from values.

        Raises:
            SettingsError: A key is unknown or a value cannot be used; names it.
        """
        try:
            return cls(**values)  # type: ignore[arg-type]  # pydantic checks them
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"The setting {key} in {source} cannot be used: {first['msg']}.",
                hint="See registry/README.md, Settings.",
                key=key,
            ) from error


def settings_text(*, network: str, listen: str, advertise: str) -> str:
    """The file that ``init`` writes."""
    return (
        "# Settings of edocregistry; registry/README.md describes every key.\n"
        "# The name of the network can never be changed.\n"
        f'network = "{network}"\n'
        f'listen = "{listen}"\n'
        f'advertise = "{advertise}"\n'
    )
