"""All settings of the registry: a TOML file in the data folder, the environment before it.

Every key can be given as ``EDOCREGISTRY_<KEY>`` in the environment.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from edoccore.errors import SettingsError
from edockit.settings import ProgramSettings, load_settings

PREFIX = "EDOCREGISTRY_"
DATA_VARIABLE = "EDOCREGISTRY_DATA"

MAX_PORT = 65535


def _with_possible_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > MAX_PORT:
        raise ValueError(f"a port is at most {MAX_PORT}")
    return address


def _reachable(address: str) -> str:
    """Refuses an address that means "all of this machine", which no node can call."""
    if address.rpartition(":")[0] in {"0.0.0.0", "[::]"}:  # noqa: S104 - compared, not bound
        raise ValueError("nodes cannot reach it; name the address they use with advertise")
    return address


Address = Annotated[
    str,
    Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):[1-9][0-9]{0,4}$"),
    AfterValidator(_with_possible_port),
]


class RegistrySettings(ProgramSettings):
    """What an operator can choose.

    Attributes:
        network: Name of the network; stands in every statement and can never be changed.
        listen: host:port that ``serve`` binds; IPv6 in brackets.
        advertise: host:port by which nodes reach it; stands in join strings. Default: ``listen``.
        seal_days: Days that a seal certificate holds, 30 to 1095.
        crl_url: Goes into seal certificates as the place of the CRL, because verifiers refuse
            certificates without one; the list itself is in the directory.
        log_level: Least important event that is logged.
        log_format: ``text`` for people, ``json`` for collectors.
    """

    network: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    listen: Address
    advertise: Annotated[Address, AfterValidator(_reachable)]
    seal_days: Annotated[int, Field(ge=30, le=1095)] = 730
    crl_url: Annotated[str, Field(min_length=1, max_length=500)]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, object]) -> dict[str, object]:
        defaults = {
            "advertise": values.get("listen"),
            "crl_url": f"urn:edoc:{values.get('network')}:revocations",
        }
        given = {key: value for key, value in values.items() if value not in (None, "")}
        return {key: value for key, value in {**defaults, **given}.items() if value is not None}


def read_settings(path: Path) -> RegistrySettings:
    """Reads the settings file and the environment.

    Raises:
        SettingsError: A key is unknown or a value cannot be used; names it.
    """
    return load_settings(
        RegistrySettings, path, prefix=PREFIX, not_settings=frozenset({DATA_VARIABLE})
    )


def first_settings(*, network: str, listen: str, advertise: str | None) -> RegistrySettings:
    """Checks what ``init`` was given.

    Raises:
        SettingsError: A value cannot be used; says which and why.
    """
    try:
        return RegistrySettings.model_validate(
            {"network": network, "listen": listen, "advertise": advertise}
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"--{key} {first['input']!r} cannot be used: {first['msg']}.",
            hint="Write --network as vn-edoc, --listen and --advertise as HOST:PORT.",
            key=key,
        ) from error


def settings_text(settings: RegistrySettings) -> str:
    """The file that ``init`` writes."""
    return (
        "# Settings of edocregistry; registry/README.md describes every key.\n"
        "# The name of the network can never be changed.\n"
        f'network = "{settings.network}"\n'
        f'listen = "{settings.listen}"\n'
        f'advertise = "{settings.advertise}"\n'
    )
