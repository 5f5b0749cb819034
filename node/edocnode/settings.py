"""All settings of a node: a TOML file in the data folder, the environment before it.

Every key can be given as ``EDOCNODE_<KEY>`` in the environment. Who the node is (network, agency,
keys) is no setting; it is made by ``init`` and lies in the data folder.
"""

import json
from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edoccore.errors import SettingsError
from edoccore.signing.statements import Urgency
from edockit.settings import ProgramSettings, load_settings
from edocnode.domain.calendar import Span, WorkingCalendar
from edocnode.domain.deadlines import DEFAULT_LIMITS, DeadlineRules, TimeLimit
from edocnode.domain.official_numbers import NumberingRules
from edocnode.domain.reminders import ReminderKind
from edocnode.domain.savings import SavingAssumptions

Text = Annotated[str, Field(max_length=300)]
INIT_OPTIONS = {
    "seal_suite": "suite",
    "seal_token.module": "seal-module",
    "seal_token.token": "seal-token",
    "seal_token.key": "seal-key",
    "seal_token.pin_file": "seal-pin-file",
}
PREFIX = "EDOCNODE_"
DATA_VARIABLE = "EDOCNODE_DATA"
TOKEN_VARIABLE = "EDOCNODE_TOKEN_FILE"  # noqa: S105 - the name of a variable
OFFICE_SOCKET_VARIABLE = "EDOCNODE_OFFICE_SOCKET"

# Pydantic's patterns are Rust's: its end of text is a small z.
Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):[0-9]{1,5}\z")]
Minutes = Annotated[int, Field(ge=0, le=60 * 24 * 30)]
Hours = Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]\z")]


class LimitSettings(BaseModel):
    """Limits for documents of one urgency, in minutes; what is left out is as shipped.

    Attributes:
        send_min: From signing to sealing; 0: by the day, as the law says. So for the two others.
        deliver_min: From sealing to the recipient's receipt, at least 1.
        acknowledge_min: From arrival to the clerk's first step.
        accept_min: The same, at the latest.
        around_the_clock: Nights and days off count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    send_min: Minutes | None = None
    deliver_min: Annotated[int, Field(ge=1, le=60 * 24 * 30)] | None = None
    acknowledge_min: Minutes | None = None
    accept_min: Minutes | None = None
    around_the_clock: bool | None = None

    def over(self, shipped: TimeLimit) -> TimeLimit:
        """These limits, and the shipped ones where nothing is set."""
        asked = self.around_the_clock
        return TimeLimit(
            send=_chosen(self.send_min, shipped.send),
            deliver=_chosen(self.deliver_min, shipped.deliver) or shipped.deliver,
            acknowledge=_chosen(self.acknowledge_min, shipped.acknowledge),
            accept=_chosen(self.accept_min, shipped.accept),
            around_the_clock=shipped.around_the_clock if asked is None else asked,
        )


COPIES_KEPT = ("Bản sao lưu được tạo trước khi thu hồi (backups made before the revocation).",)


class TrustStore(BaseModel):
    """A folder of roots that vouch for signers of documents, PEM or DER.

    Attributes:
        folder: Relative to the data folder, or absolute.
        kind: ``personal`` or ``organisation``: all that it vouches for are; ``any``: rules tell;
            ``timestamp``: it vouches for the time alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    folder: Annotated[str, Field(min_length=1, max_length=1000)]
    kind: Literal["any", "personal", "organisation", "timestamp"] = "any"


Vnd = Annotated[int, Field(ge=0, le=100_000_000)]


class SavingSettings(BaseModel):
    """What a delivery on paper would cost, for the estimate of savings; see ``domain.savings``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pages: Annotated[int, Field(ge=0, le=10_000)] = 3
    page_vnd: Vnd = 500
    postage_vnd: Vnd = 12_000
    handling_min: Annotated[int, Field(ge=0, le=10_000)] = 10
    minute_vnd: Vnd = 600

    @property
    def assumptions(self) -> SavingAssumptions:
        """The same for the rules."""
        return SavingAssumptions(**self.model_dump())


class ReminderSettings(BaseModel):
    """One way to tell people of late and most urgent documents, and what it is told.

    Attributes:
        name: Remembers what was told this way; unique. A new name is told everything anew.
        channel: How; ``log`` needs nothing else.
        kinds: What is told; empty: all.
        agency: Only documents of this agency here; empty: of all.
        subject: Whether subjects of documents may leave the node this way.
        to: Addresses or telephone numbers (``email``, ``sms``).
        server: host:port of the mail server or SMSC.
        security: How the connection is protected; ``none`` for an SMSC alone.
        user: Name at the server, with ``password_file``, in the data folder unless absolute.
        sender: Address or name that it comes from.
        url: ``https://...``, for a webhook; signed with what ``secret_file`` holds.
        ca_file: Certificates trusted besides those of the system.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}\z")]
    channel: Literal["log", "email", "webhook", "sms"]
    kinds: tuple[ReminderKind, ...] = ()
    agency: Annotated[str, Field(max_length=35)] = ""
    subject: bool = True
    to: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    server: Address | Literal[""] = ""
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Text = ""
    password_file: Text = ""
    sender: Text = ""
    url: Annotated[str, Field(max_length=1000, pattern=r"^(https://[!-~]+)?\z")] = ""
    secret_file: Text = ""
    ca_file: Text = ""

    @model_validator(mode="after")
    def _is_whole(self) -> "ReminderSettings":
        needed = {
            "log": (),
            "email": ("to", "server", "sender"),
            "sms": ("to", "server", "sender", "user"),
            "webhook": ("url", "secret_file"),
        }[self.channel]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"{self.channel} needs {', '.join(missing)}")
        if self.channel == "email" and self.security == "none":
            raise ValueError("e-mail goes with starttls or tls")
        if self.channel == "sms" and self.security == "starttls":
            raise ValueError("an SMSC has tls or none")
        return self


class SealTokenSettings(BaseModel):
    """Where the seal's key is, when it is not in a file of the data folder.

    Attributes:
        module: Path of the PKCS#11 library of the token's maker.
        token: Label of the token.
        key: Label of the private key in it.
        pin_file: File with the PIN, mode 0600, in the data folder unless absolute; empty: the
            systemd credential ``edocnode-seal-pin``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^/[^\x00-\x1f]*\z")]
    token: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,32}\z")]
    key: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,200}\z")] = "edocnode seal"
    pin_file: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f]*\z")] = ""


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
        calendar_file: TOML file of days off and make-up working days, beside those shipped; in
            the data folder unless absolute. Empty: none.
        working_hours: From and to, of every working day.
        morning_ends: Until when the morning lasts in which the law wants a document sent.
        time_limits: By urgency: what "at once" means here.
        numbering: Codes of agencies whose documents this node numbers; others number themselves.
        numbering_series: Name of a series of its own by document type; others share one.
        revocations: ``auto`` destroys at once what its sender takes back; ``ask``: a clerk answers.
        updates: ``auto`` puts a newer version in force at once; ``ask``: a clerk answers.
        copies_kept: Copies that this node cannot destroy with a document, as its sender is told.
        trust_stores: Whose signatures in documents are trusted; empty: none is checked.
        crl_folder: Folder of revocation lists; empty: only those that documents bring along.
        signer_rules: File that tells persons from organisations; empty: the own rules.
        strict_revocation: A certificate of which no revocation list speaks is not valid.
        largest_check_mib: MiB of a part whose signatures are still checked, 1 to 100000.
        timestamp_url: Address of a timestamp authority (RFC 3161), http or https; empty: none. A
            trust store of kind ``timestamp`` vouches for it.
        timestamp_every_s: Seconds that a seal waits at the most for its batch, 1 to 86400.
        savings: What a delivery on paper would cost, for the estimate in statistics.
        edxml_folder: Drop folder of ``edxml watch``; empty: none.
        edxml_agencies: Codes that have a folder of their own in it; empty: one folder for all.
        edxml_key: PEM file of the key that signs edXML packages; empty: they are not signed.
        edxml_certificate: PEM file of that key's certificate, and those above it.
        edxml_trust: PEM file of authorities that signatures of edXML packages must lead to.
        statistics_to: Code of the agency that sums the nation's statistics; empty: none is sent.
        reminders: To whom late and most urgent documents are told, and how.
        reminders_every_s: Seconds between two looks at what is late, 10 to 86400.
        office_socket: Path of a socket for offices that call with tokens; ``true``: ``socket`` in a
            folder beside the data folder, with the same name and ``.office``; empty: none.
        office_group: Group that may open it, by name or number; empty: that of the process.
        access_history_years: Years for which it is kept who saw what, 1 to 100.
        retention: Years for which received documents are kept, by type as lists show it; ``other``
            for all that are not named. What is not named is kept for ever.
        seal_suite: Of the seal keys that are made next: 1, ECDSA P-256; or 2, that together with
            ML-DSA-65. A key in use is never followed by one of a weaker suite.
        seal_token: The PKCS#11 token with the seal's key; empty: a file of the data folder.
        key_passphrase_file: File with the passphrase of encrypted key files, mode 0600, in the
            data folder unless absolute; empty: systemd credential ``edocnode-key-passphrase``.
        scanner: Where clamd listens, path of its socket or host:port; empty: nothing is scanned.
        scanner_largest_mib: MiB of a part that is still scanned, at most clamd's StreamMaxLength.
        scanner_at_once: Documents that are scanned at the same time, below clamd's MaxThreads.
        log_level: Least important event that is logged.
        log_format: ``text`` for people, ``json`` for collectors.
    """

    listen: Address
    advertise: Annotated[str, Field(max_length=300)] = ""
    database: Annotated[str, Field(max_length=1000)] = ""
    directory_refresh_s: Annotated[float, Field(ge=1, le=3600)] = 30
    patience_s: Annotated[float, Field(ge=0.1, le=3600)] = 60
    scrub_mib_s: Annotated[float, Field(ge=0.1, le=10_000)] = 4
    staging_quota_gib: Annotated[int, Field(ge=1, le=100_000)] = 64
    peer_weights: Mapping[str, Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)
    code_lists: Annotated[str, Field(max_length=255, pattern=r"^[^/\\]*\z")] = ""
    calendar_file: Annotated[str, Field(max_length=1000)] = ""
    working_hours: Annotated[tuple[Hours, ...], Field(min_length=1, max_length=10)] = (
        "08:00-12:00",
        "13:00-17:00",
    )
    morning_ends: time = time(12)
    time_limits: Mapping[Urgency, LimitSettings] = Field(default_factory=dict)
    numbering: tuple[Annotated[str, Field(min_length=1, max_length=35)], ...] = ()
    numbering_series: Mapping[str, Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict
    )
    revocations: Literal["auto", "ask"] = "auto"
    updates: Literal["auto", "ask"] = "auto"
    copies_kept: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = COPIES_KEPT
    trust_stores: tuple[TrustStore, ...] = ()
    crl_folder: Annotated[str, Field(max_length=1000)] = ""
    signer_rules: Annotated[str, Field(max_length=1000)] = ""
    strict_revocation: bool = False
    largest_check_mib: Annotated[int, Field(ge=1, le=100_000)] = 200
    timestamp_url: Annotated[str, Field(max_length=1000, pattern=r"^(https?://[!-~]+)?\z")] = ""
    timestamp_every_s: Annotated[float, Field(ge=1, le=86_400)] = 60
    savings: SavingSettings = SavingSettings()
    edxml_folder: Annotated[str, Field(max_length=1000)] = ""
    edxml_agencies: tuple[Annotated[str, Field(min_length=1, max_length=35)], ...] = ()
    edxml_key: Annotated[str, Field(max_length=1000)] = ""
    edxml_certificate: Annotated[str, Field(max_length=1000)] = ""
    edxml_trust: Annotated[str, Field(max_length=1000)] = ""
    statistics_to: Annotated[str, Field(max_length=35)] = ""
    reminders: Annotated[tuple[ReminderSettings, ...], Field(max_length=50)] = ()
    reminders_every_s: Annotated[float, Field(ge=10, le=86_400)] = 60
    office_socket: Annotated[str, Field(max_length=300)] = ""
    office_group: Annotated[str, Field(max_length=64)] = ""
    access_history_years: Annotated[float, Field(ge=1, le=100)] = 5
    retention: Mapping[str, Annotated[int, Field(ge=1, le=200)]] = Field(default_factory=dict)
    seal_suite: Annotated[int, Field(ge=1, le=2)] = 1
    seal_token: SealTokenSettings | None = None
    key_passphrase_file: Annotated[str, Field(max_length=1000)] = ""
    scanner: Annotated[
        str, Field(pattern=r"^(/[!-~]{1,100}|(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):[0-9]{1,5})?\z")
    ] = ""
    scanner_largest_mib: Annotated[int, Field(ge=1, le=4000)] = 100
    scanner_at_once: Annotated[int, Field(ge=1, le=64)] = 4
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="after")
    def _names_differ(self) -> "NodeSettings":
        if len({each.name for each in self.reminders}) < len(self.reminders):
            raise ValueError("two reminders have the same name")
        return self

    @model_validator(mode="after")
    def _timestamps_are_trusted(self) -> "NodeSettings":
        kinds = {each.kind for each in self.trust_stores}
        if self.timestamp_url and not kinds & {"timestamp", "any"}:
            raise ValueError("timestamp_url needs one of trust_stores of the kind timestamp")
        return self

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, object]) -> dict[str, object]:
        given = {key: value for key, value in values.items() if value is not None}
        if isinstance(wanted := given.get("office_socket"), bool):  # TOML has no true as text
            given["office_socket"] = "true" if wanted else ""
        return given

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
    def largest_check_bytes(self) -> int:
        """Bytes of a part whose signatures are still checked."""
        return self.largest_check_mib * (1 << 20)

    @property
    def scrub_bytes_per_second(self) -> int:
        """Bytes of stored parts that are read to find damage, in a second."""
        return int(self.scrub_mib_s * (1 << 20))

    @property
    def numbering_rules(self) -> NumberingRules:
        """For whom and in which series this node numbers."""
        return NumberingRules(agencies=frozenset(self.numbering), series=self.numbering_series)

    def weight(self, agency: str) -> int:
        """How many times the share of others an agency has."""
        return self.peer_weights.get(agency, 1)

    @property
    def working_spans(self) -> tuple[Span, ...]:
        """From when until when is worked on a working day.

        Raises:
            SettingsError: There is no such hour.
        """
        try:
            return tuple(
                (time.fromisoformat(text[:5]), time.fromisoformat(text[6:]))
                for text in self.working_hours
            )
        except ValueError as error:
            raise SettingsError(
                f"The working hours {', '.join(self.working_hours)} name an hour that is none.",
                hint='Write them like ["08:00-12:00", "13:00-17:00"].',
                key="working_hours",
            ) from error

    def deadline_rules(self, calendar: WorkingCalendar) -> DeadlineRules:
        """The rules by which deadlines are judged here."""
        limits = {
            urgency: self.time_limits.get(urgency, LimitSettings()).over(shipped)
            for urgency, shipped in DEFAULT_LIMITS.items()
        }
        return DeadlineRules(
            calendar=calendar,
            limits=limits,
            morning_ends=self.morning_ends.replace(tzinfo=None),
        )

    @property
    def access_history(self) -> timedelta:
        """How long it is kept who saw what."""
        return timedelta(days=365.25 * self.access_history_years)

    def office_socket_path(self, data_folder: Path) -> Path | None:
        """Where offices call with tokens; None: nowhere."""
        if self.office_socket in ("", "false"):
            return None
        if self.office_socket != "true":
            return Path(self.office_socket)
        folder = data_folder.absolute()
        return folder.with_name(f"{folder.name}.office") / "socket"

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
    return load_settings(
        NodeSettings, path, prefix=PREFIX, not_settings=frozenset({DATA_VARIABLE, TOKEN_VARIABLE})
    )


def first_settings(
    *,
    listen: str,
    advertise: str | None,
    seal_suite: int = 1,
    seal_token: Mapping[str, str] | None = None,
    key_passphrase_file: str = "",
) -> NodeSettings:
    """Checks what ``init`` was given.

    Raises:
        SettingsError: A value cannot be used; says which and why.
    """
    given = {
        "listen": listen,
        "advertise": advertise,
        "seal_suite": seal_suite,
        "seal_token": seal_token,
        "key_passphrase_file": key_passphrase_file,
    }
    try:
        return NodeSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        option = INIT_OPTIONS.get(key, key)
        raise SettingsError(
            f"--{option} {first['input']!r} cannot be used: {first['msg']}.",
            hint="See: edocnode init --help"
            if key in INIT_OPTIONS
            else "Write --listen and --advertise as HOST:PORT.",
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
    if settings.key_passphrase_file:
        lines.append(f"key_passphrase_file = {_toml(settings.key_passphrase_file)}")
    if settings.seal_suite != 1:
        lines.append(f"seal_suite = {settings.seal_suite}")
    if token := settings.seal_token:
        given = token.model_dump(exclude_defaults=True)
        lines += ["", "[seal_token]", *(f"{key} = {_toml(text)}" for key, text in given.items())]
    return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    """The text as a basic string of TOML, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _chosen(minutes: int | None, shipped: timedelta | None) -> timedelta | None:
    """What is set, or the shipped limit; 0 minutes stand for the day that the law names."""
    if minutes is None:
        return shipped
    return timedelta(minutes=minutes) if minutes else None
