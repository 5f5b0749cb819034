"""Who watches over the log: orders of officers, and what is seen of the witnesses."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from edoccore.directory.layout import WITNESS_PATIENCE, WitnessListing, moment_of
from edoccore.directory.transparency import (
    LEAF_BYTES,
    DirectoryLog,
    cosignatures,
    judge_log,
    mark_in,
    read_checkpoint,
)
from edoccore.signing.statements import DirectoryMark
from edocregistry.app.registry import Registry
from edocregistry.domain import witnesses as rules


@dataclass(frozen=True, slots=True)
class WitnessStatus:
    """One witness; ``cosigned_at``: the newest checkpoint, None: not that one."""

    agency: str
    cosigned_at: datetime | None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The log of published versions.

    Attributes:
        root: Hex, of the newest checkpoint.
        is_complete: Whether that has the published directory.
        witnessed_size: How many versions enough witnesses have cosigned.
        is_silent: Whether that is so for too long, or never was.
        threshold: How many must.
    """

    size: int
    root: str
    is_complete: bool
    witnessed_size: int
    is_silent: bool
    threshold: int
    witnesses: tuple[WitnessStatus, ...]


def add_witness(registry: Registry, actor: str, code: str, key: str) -> WitnessListing:
    """Lets the node of an agency watch; see ``domain.witnesses.add_witness``."""
    network = registry.settings.network
    return registry.order(
        actor,
        f"witness add {code}",
        lambda records, now: rules.add_witness(records, code, key, network, now),
    )


def remove_witness(registry: Registry, actor: str, code: str) -> None:
    """Ends the watch of an agency; see ``domain.witnesses.remove_witness``."""
    registry.order(
        actor, f"witness remove {code}", lambda records, _now: rules.remove_witness(records, code)
    )


def require_witnesses(registry: Registry, actor: str, threshold: int) -> None:
    """Sets how many must cosign; see ``domain.witnesses.require_witnesses``."""
    registry.order(
        actor,
        f"witness require {threshold}",
        lambda records, _now: rules.require_witnesses(records, threshold),
    )


def renew_log_key(registry: Registry, actor: str) -> None:
    """Makes the log's next key, after the one in use was stolen; the log itself goes on."""
    registry.order(actor, "log renew", lambda _records, _now: registry.folder.keys.make_log_key())


def log_status(registry: Registry, now: datetime) -> LogStatus | None:
    """What is to be seen of the log; None: it has not begun."""
    log = registry.publisher.log.held()
    if log is None:
        return None
    version, digest = registry.folder.directory.mark()
    mark = DirectoryMark(version=version, hash=digest.hex())
    state = judge_log(log, mark, now)
    times = cosignatures(read_checkpoint(log.checkpoint).note, log.info)
    return LogStatus(
        size=log.size,
        root=log.frontier.root().hex(),
        is_complete=state.is_logged,
        witnessed_size=state.witnessed_size,
        is_silent=_is_silent(log, state.witnessed_at, now),
        threshold=log.info.threshold,
        witnesses=tuple(
            WitnessStatus(item.agency, _moment(times.get(item.agency)))
            for item in log.info.witnesses
        ),
    )


_SIGN = (
    "Run: edocregistry publish. Where officers say who exists, they sign the log's key first: "
    "edocregistry draft --out FILE"
)


def log_problems(status: LogStatus | None) -> Iterator[tuple[str, str, str]]:
    """What an operator should act on: code, message, hint."""
    if status is None or not status.is_complete:
        yield (
            "LOG_NOT_SIGNED",
            "The log of published versions does not have the directory in force.",
            _SIGN,
        )
    elif status.is_silent:
        yield (
            "WITNESSES_SILENT",
            f"Fewer than {status.threshold} witnesses have cosigned the log since a day.",
            "Ask the agencies whose witnesses are missing in the list below.",
        )


def _is_silent(log: DirectoryLog, at: datetime | None, now: datetime) -> bool:
    if log.info.threshold < 1:
        return False
    newest = moment_of(mark_in(log.leaves[-LEAF_BYTES:]).version)
    return now - (at or newest) > WITNESS_PATIENCE


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
