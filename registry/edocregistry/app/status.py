"""What an operator must know about a registry, problems first; looks and changes nothing."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from edoccore.directory import layout
from edoccore.directory.layout import OFFICER_ALARM_BEFORE, AgencyState
from edoccore.directory_errors import LogBehindError, LogUnconfirmedError
from edockit.addresses import split_address
from edocregistry.app.registry import Registry
from edocregistry.app.witnesses import LogStatus, log_problems, log_status
from edocregistry.domain.differences import Change
from edocregistry.domain.model import REGISTRY_CODE
from edocregistry.domain.publication import RoleFile, is_of_officers

CONNECT_SECONDS = 1.0
_SIGN_ANEW = "Have it signed anew by the officers: edocregistry draft --renew --out FILE"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an operator should act on."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class RoleAge:
    """A role of the directory, or the bins of one role together: the oldest counts."""

    role: str
    version: int
    expires: datetime


@dataclass(frozen=True, slots=True)
class OfficerRole:
    """Who may sign for ``root`` or ``identity``: key ids, and how many of them must."""

    role: str
    keys: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStatus:
    """The state of a registry.

    Attributes:
        answers: Whether something takes connections on ``listen``.
        version: Of the directory.
        published_at: When that was signed.
        agencies: How many by state.
        enrolled: Agencies with a seal certificate in force.
        keys: Private keys on this machine.
        root_sha256: Of the newest root; what join strings carry.
        waiting: What the officers have to sign, one line each.
        officers: Who may sign what, by the root in force.
        log: Of published versions; None: it has not begun.
    """

    problems: list[Problem]
    network: str
    listen: str
    advertise: str
    answers: bool
    auto_publish: bool
    version: int
    published_at: datetime
    roles: list[RoleAge]
    agencies: dict[str, int]
    enrolled: int
    keys: list[str]
    root_sha256: str
    waiting: list[str]
    officers: list[OfficerRole]
    log: LogStatus | None


def registry_status(registry: Registry, now: datetime) -> RegistryStatus:
    """Collects the state of a registry.

    Raises:
        StorageDamagedError: The published files do not belong together.
    """
    folder, settings = registry.folder, registry.settings
    current = folder.directory.current()
    roots = folder.directory.roots()
    newest = roots[max(roots)]
    roles = list(_ages({**current, layout.ROOT: RoleFile.read(newest)}))
    answers = _answers(settings.listen)
    auto_publish = registry.publishes_alone()
    waiting = registry.waiting()
    states, enrolled = _count(registry)
    log = log_status(registry, now)
    return RegistryStatus(
        problems=[
            *_key_problems(registry, auto_publish=auto_publish),
            *_age_problems(roles, now, auto_publish=auto_publish),
            *([_waiting(waiting)] if waiting else []),
            *_behind(registry),
            *(Problem(*found) for found in log_problems(log)),
            *([] if answers else [_not_answering(settings.listen)]),
        ],
        network=settings.network,
        listen=settings.listen,
        advertise=settings.advertise,
        answers=answers,
        auto_publish=auto_publish,
        version=current[layout.SNAPSHOT].signed.version,
        published_at=current[layout.SNAPSHOT].signed.expires - layout.ROLE_LIFE,
        roles=roles,
        agencies=states,
        enrolled=enrolled,
        keys=folder.keys.present(),
        root_sha256=sha256(newest).hexdigest(),
        waiting=[change.text for change in waiting],
        officers=_officers(registry),
        log=log,
    )


def _ages(files: dict[str, RoleFile]) -> Iterator[RoleAge]:
    bins = {name: role for role in layout.BINNED_ROLES for name in layout.bin_names(role)}
    oldest: dict[str, RoleAge] = {}
    for role, item in files.items():
        shown = f"{bins[role]} (bins)" if role in bins else role
        age = RoleAge(shown, item.signed.version, item.signed.expires)
        if shown not in oldest or age.expires < oldest[shown].expires:
            oldest[shown] = age
    yield from sorted(oldest.values(), key=lambda age: (age.expires, age.role))


def _count(registry: Registry) -> tuple[dict[str, int], int]:
    with registry.folder.turn() as turn:
        agencies = turn.read(lambda records: records.agencies())
        seals = turn.read(lambda records: records.seal_certificates())
        revoked = {item.sha256 for item in turn.read(lambda records: records.revocations())}
    states = dict.fromkeys((str(state.value).lower() for state in AgencyState), 0)
    for agency in agencies:
        if agency.code != REGISTRY_CODE:
            states[agency.state.value.lower()] += 1
    enrolled = {item.agency for item in seals if item.sha256 not in revoked} - {REGISTRY_CODE}
    return states, len(enrolled)


def _key_problems(registry: Registry, *, auto_publish: bool) -> Iterator[Problem]:
    if auto_publish:
        yield Problem(
            "AUTO_PUBLISH",
            "This machine can replace the keys of every agency (auto_publish).",
            "Fit for small networks; registry/README.md says what it means.",
        )
    files = registry.folder.keys.officer_files()
    if files:
        yield Problem(
            "ROOT_KEYS_HERE",
            f"{len(files)} root keys of the officers are on this machine.",
            f"Give each officer one file of {files[0].parent} and remove them here.",
        )


def _behind(registry: Registry) -> Iterator[Problem]:
    """Why nothing may be published, if so."""
    try:
        registry.publisher.log.require_newest()
    except (LogBehindError, LogUnconfirmedError) as error:
        yield Problem(error.reason, error.message, error.hint)


def _waiting(changes: list[Change]) -> Problem:
    return Problem(
        "AWAITING_OFFICERS",
        f"For the officers wait {len(changes)} changes that the directory does not say yet.",
        "Run: edocregistry draft --out FILE, and have the officers sign it.",
    )


def _officers(registry: Registry) -> list[OfficerRole]:
    root = registry.publisher.root()
    roles = ((layout.ROOT, root.roles[layout.ROOT]), (layout.IDENTITY, root.roles[layout.TARGETS]))
    return [OfficerRole(name, tuple(role.keyids), role.threshold) for name, role in roles]


def _age_problems(roles: list[RoleAge], now: datetime, *, auto_publish: bool) -> Iterator[Problem]:
    for age in roles:
        officers = age.role == layout.ROOT or (
            not auto_publish and is_of_officers(age.role.partition(" ")[0])
        )
        hint = _SIGN_ANEW if officers else "Run: edocregistry publish"
        if now >= age.expires:
            yield Problem(
                "ROLE_EXPIRED",
                f"The role {age.role} of the directory has expired.",
                hint,
            )
        elif age.role != layout.TIMESTAMP and age.expires - now < OFFICER_ALARM_BEFORE:
            days = (age.expires - now) // timedelta(days=1)
            yield Problem(
                "ROLE_EXPIRES",
                f"The role {age.role} of the directory expires in {days} days.",
                hint,
            )


def _not_answering(listen: str) -> Problem:
    return Problem(
        "NOT_SERVING",
        f"Nothing answers on {listen}; nodes go on with the directory they have.",
        "Start: edocregistry serve",
    )


def _answers(listen: str) -> bool:
    try:
        with socket.create_connection(split_address(listen), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
