"""All settings of a node: a TOML file in the data folder, the environment before it.

Every key can be given as ``EDOCNODE_<KEY>`` in the environment. Who the node is (network, agency,
keys) is no setting; it is made by ``init`` and lies in the data folder.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from edoccore.errors import SettingsError
from edockit.settings import ProgramSettings, load_settings

PREFIX = "EDOCNODE_"
DATA_VARIABLE = "EDOCNODE_DATA"

# Pydantic's patterns are Rust's: its end of text is a small z.
Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):[0-9]{1,5}\z")]


class NodeSettings(ProgramSettings):
    """What an operator can choose.

    Attributes:
        listen: host:port that ``serve`` binds for other nodes; IPv6 in brackets, port 0: any free.
        advertise: host:port under which other nodes reach it; empty: where it listens.
        database: ``postgresql+psycopg://...``, or empty for SQLite in the data folder.
        directory_refresh_s: Seconds between two looks at the registry's directory, 1 to 3600.
        patience_s: Seconds after which a calling node is cut off that says nothing, or sends less
            than 64 KiB of a part; 0.1 to 3600.
        staging_quota_gib: GiB of unfinished documents that one agency may have here.
        peer_weights: How many times the share of others an agency has here, by code; 1 to 100.
        code_lists: File in the data folder with code lists of its own, TOML; empty: none.
        log_level: Least important event that is logged.
        log_format: ``text`` for people, ``json`` for collectors.
    """

    listen: Address
    advertise: Annotated[str, Field(max_length=300)] = ""
    database: Annotated[str, Field(max_length=1000)] = ""
    directory_refresh_s: Annotated[float, Field(ge=1, le=3600)] = 60
    patience_s: Annotated[float, Field(ge=0.1, le=3600)] = 60
    scrub_mib_s: Annotated[float, Field(ge=0.1, le=10_000)] = 4
    staging_quota_gib: Annotated[int, Field(ge=1, le=100_000)] = 64
    peer_weights: Mapping[str, Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)
    code_lists: Annotated[str, Field(max_length=255, pattern=r"^[^/\\]*\z")] = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in values.items() if value is not None}

    @property
    def directory_refresh(self) -> timedelta:
        """Time between two looks at the registry's directory."""
        return timedelta(seconds=self.directory_refresh_s)

    @property
    def patience(self) -> timedelta:
        """Time with a calling node that says nothing, or trickles."""
        return timedelta(seconds=self.patience_s)

    @property
    def staging_quota_bytes(self) -> int:
        """Bytes of unfinished documents that one agency may have here."""
        return self.staging_quota_gib * (1 << 30)

    @property
    def scrub_bytes_per_second(self) -> int:
        """Bytes of stored parts that are read to find damage, in a second."""
        return int(self.scrub_mib_s * (1 << 20))

    def weight(self, agency: str) -> int:
        """How many times the share of others an agency has."""
        return self.peer_weights.get(agency, 1)

    def database_url(self, sqlite_file: Path) -> str:
        """The database to open.

        Args:
            sqlite_file: Used unless another database is set.
        """
        return self.database or f"sqlite:///{sqlite_file}"


def read_settings(path: Path) -> NodeSettings:
    """Reads the settings file and the environment.

    Raises:
        SettingsError: A key is unknown or a value cannot be used; names it.
    """
    return load_settings(NodeSettings, path, prefix=PREFIX, not_settings=frozenset({DATA_VARIABLE}))


def first_settings(*, listen: str, advertise: str | None) -> NodeSettings:
    """Checks what ``init`` was given.

    Raises:
        SettingsError: A value cannot be used; says which and why.
    """
    try:
        return NodeSettings.model_validate({"listen": listen, "advertise": advertise})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"--{key} {first['input']!r} cannot be used: {first['msg']}.",
            hint="Write --listen and --advertise as HOST:PORT.",
            key=key,
        ) from error


def settings_text(settings: NodeSettings) -> str:
    """The file that ``init`` writes."""
    lines = [
        "# Settings of edocnode; node/README.md describes every key.",
        f'listen = "{settings.listen}"',
    ]
    if settings.advertise:
        lines.append(f'advertise = "{settings.advertise}"')
    return "\n".join(lines) + "\n"
