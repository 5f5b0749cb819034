"""Whether this node can still use the encryption keys that others encrypted to, or do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.doctor import Check, Health

CODE = "encryption_keys"  # of the check
SHOWN = 16  # characters of a digest that name a key


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReading:
    """An encryption key of this node, and whether its private key can be used.

    Attributes:
        made: Since when others may have encrypted to it.
        retired: Since when nobody does; None: it is published.
        given_up: Since when an administrator knows that it is lost; None: nobody said so.
        trouble: Why it cannot be used; empty: it can.
    """

    sha256: str
    made: datetime
    retired: datetime | None
    given_up: datetime | None
    trouble: str

    @property
    def is_lost(self) -> bool:
        """Whether somebody must do something about it."""
        return bool(self.trouble) and self.given_up is None


def judge_encryption_keys(readings: Sequence[KeyReading]) -> Check:
    """Whether all that was encrypted to this node can be read, and what mends it.

    The key that is published comes first. What an administrator gave up is no problem any more.
    """
    lost = sorted((each for each in readings if each.is_lost), key=lambda each: bool(each.retired))
    if lost:
        return _lost(lost[0], len(lost) - 1)
    given_up = sum(each.given_up is not None for each in readings)
    if given_up:
        message = (
            f"{len(readings) - given_up} encryption keys can be used; {given_up} were given up, "
            f"and what was encrypted to those stays unreadable."
        )
        return Check(CODE, Health.OK, message)
    if not readings:
        told = "No encryption key was made (edocnode keys encryption new)."
        return Check(CODE, Health.OFF, told)
    return Check(CODE, Health.OK, f"All encryption keys of this node can be used: {len(readings)}.")


def _lost(key: KeyReading, others: int) -> Check:
    name, since = key.sha256[:SHOWN], day_in_viet_nam(key.made).isoformat()
    if key.retired is None:
        message = (
            f"The published encryption key {name} cannot be used: {key.trouble}. Files that were "
            f"sent encrypted to this node, or by it, since {since} cannot be read, and nothing new "
            f"can be sent so. Others that cannot be used: {others}."
        )
        hint = (
            f"Restore the folder keys/ from a backup of the data folder, or mend the passphrase, "
            f"and start the node again. Without a backup, so that senders use another key, run: "
            f"edocnode keys encryption new. What was encrypted to the lost one stays unreadable; "
            f"see which documents: edocnode inbox --since {since}"
        )
        return Check(CODE, Health.PROBLEM, message, hint)
    until = day_in_viet_nam(key.retired).isoformat()
    message = (
        f"The retired encryption key {name} cannot be used: {key.trouble}. Files that were sent "
        f"encrypted to this node, or by it, from {since} to {until} cannot be read. Others that "
        f"cannot be used: {others}."
    )
    hint = (
        f"Restore the folder keys/ from a backup of the data folder, or mend the passphrase, and "
        f"start the node again. Without a backup ask the senders for these documents again: "
        f"edocnode inbox --since {since} --until {until}; then run: edocnode keys encryption "
        f"give-up {name} --yes"
    )
    return Check(CODE, Health.PROBLEM, message, hint)
