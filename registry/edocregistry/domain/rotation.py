"""The next root: other officers, another threshold, other keys of identity or of this machine.

A root is followed by the next one only: each is signed by enough keys of the one before and by
enough of its own, so nodes that were away for several follow them one by one.

Source: TUF specification 1.0.33, 5.3 and 6.1 (key management and migration).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Key, Metadata, Role, Root

from edoccore.directory import layout
from edoccore.errors import RequestInvalidError
from edocregistry.domain.publication import whole_seconds

MAX_KEYS = 16  # of one role


@dataclass(frozen=True, slots=True, kw_only=True)
class RootChange:
    """What the next root changes; None: as before.

    Attributes:
        officers: All public keys of the root.
        threshold: How many of them must sign the root after that.
        identity: All public keys that say who exists.
        identity_threshold: How many of them must sign.
        online: The public key of the registry's machine.
        renew: A next root is wanted though nothing changes, because this one ends.
    """

    officers: Sequence[Key] | None = None
    threshold: int | None = None
    identity: Sequence[Key] | None = None
    identity_threshold: int | None = None
    online: Key | None = None
    renew: bool = False

    def is_wanted(self) -> bool:
        """Whether there is to be a next root."""
        return self != NO_CHANGE


NO_CHANGE = RootChange()


def next_root(root: Root, change: RootChange, now: datetime) -> Metadata[Root]:
    """Makes the root after ``root``, not signed yet.

    Raises:
        RequestInvalidError: A threshold cannot be met, keys are doubled or too many.
    """
    officers = _keys(root, layout.ROOT, change.officers)
    identity = _keys(root, layout.TARGETS, change.identity)
    online = _keys(root, layout.SNAPSHOT, None if change.online is None else [change.online])
    above, below = change.threshold, change.identity_threshold
    if above is None:
        above = root.roles[layout.ROOT].threshold
    if below is None:
        below = _threshold_of_identity(root, change)
    roles = {
        layout.ROOT: _role("root", officers, above),
        layout.TARGETS: _role("identity", identity, below),
        layout.SNAPSHOT: _role("online", online, 1),
        layout.TIMESTAMP: _role("online", online, 1),
    }
    _check_apart(identity, online)
    keys = {key.keyid: key for key in (*officers, *identity, *online)}
    expires = whole_seconds(now) + layout.ROOT_LIFE
    return Metadata(Root(root.version + 1, None, expires, keys, roles))


def _threshold_of_identity(root: Root, change: RootChange) -> int:
    """One key alone signs alone; otherwise as before."""
    if change.identity is not None and len(change.identity) == 1:
        return 1
    return root.roles[layout.TARGETS].threshold


def _keys(root: Root, role: str, wanted: Sequence[Key] | None) -> list[Key]:
    if wanted is not None:
        return list(wanted)
    return [root.keys[keyid] for keyid in root.roles[role].keyids]


def _role(name: str, keys: Sequence[Key], threshold: int) -> Role:
    keyids = [key.keyid for key in keys]
    if len(set(keyids)) != len(keyids) or not 1 <= len(keyids) <= MAX_KEYS:
        raise RequestInvalidError(
            f"The {name} role needs 1 to {MAX_KEYS} keys, each of them once.",
            hint="Name the public key file of each officer once.",
        )
    if not 1 <= threshold <= len(keyids):
        raise RequestInvalidError(
            f"Of {len(keyids)} keys of the {name} role {threshold} signatures cannot be asked for.",
            hint=f"Choose a threshold of 1 to {len(keyids)}.",
        )
    return Role(keyids, threshold)


def _check_apart(identity: Sequence[Key], online: Sequence[Key]) -> None:
    if {key.keyid for key in identity} & {key.keyid for key in online}:
        raise RequestInvalidError(
            "The key that signs online cannot also say who exists.",
            hint="Make another key: edocregistry key new FILE",
        )
