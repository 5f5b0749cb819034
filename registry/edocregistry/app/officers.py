"""What officers decide: drafts of what waits for them, and what they signed, taken in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import Key, Metadata

from edoccore.directory.view import Directory
from edoccore.errors import EdocError
from edoccore.signing.statements import time_text
from edocregistry.app.publishing import Taken
from edocregistry.app.registry import DONE, Registry
from edocregistry.domain import drafting
from edocregistry.domain.differences import Change, changes_of
from edocregistry.domain.drafting import Draft, DraftFile
from edocregistry.domain.model import AuditEntry
from edocregistry.domain.publication import Signers
from edocregistry.domain.rotation import NO_CHANGE, RootChange, next_root
from edocregistry.storage.folder import Turn
from edocregistry.storage.keys import IDENTITY, ONLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOrder:
    """What is to be drafted besides what waits.

    Attributes:
        change: Of the root, by public keys.
        auto_publish: This machine shall say who exists, with a key that is made for it now.
        new_online_key: This machine shall sign online with a key that is made for it now.
        renew: Sign also what need not be signed yet.
    """

    change: RootChange = NO_CHANGE
    auto_publish: bool = False
    new_online_key: bool = False
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft that was made.

    Attributes:
        data: The file.
        changes: What it changes.
        signings: Who must sign what.
    """

    data: bytes
    changes: list[Change]
    signings: list[drafting.Signing]


def make_draft(
    registry: Registry, order: DraftOrder, *, actor: str, now: datetime
) -> Drafted | None:
    """Drafts what waits for the officers; None when nothing does.

    Raises:
        RequestInvalidError: The root cannot be changed like that.
    """
    publisher = registry.publisher
    with registry.folder.turn() as turn:
        publisher.finish(turn)
        before = publisher.newest()
        contents = publisher.contents(turn)
        change, signers = _keys(registry, order, before, now)
        made = drafting.make_draft(contents, before, signers, change, now, renew=order.renew)
        if not made:
            return None
        entry = AuditEntry(now, actor, "draft", DONE)
        turn.write(lambda records: records.add_audit(entry))
    return _written(before, made, now)


def read_drafts(files: Sequence[bytes], now: datetime) -> Draft:
    """Reads the copies of a draft and joins their signatures.

    Raises:
        DraftInvalidError: One cannot be used, or they are not copies of one draft.
    """
    return drafting.join_signatures([drafting.read_draft(data, now) for data in files])


def publish_draft(registry: Registry, draft: Draft, *, actor: str, now: datetime) -> Taken:
    """Takes a signed draft in; see ``Publisher.take``. Leaves a row in the audit either way."""
    command = f"publish draft {drafting.digest(draft)}"
    with registry.folder.turn() as turn:
        try:
            registry.publisher.finish(turn)
            taken = registry.publisher.take(turn, draft)
        except EdocError as error:
            _audit(turn, AuditEntry(now, actor, command, error.reason))
            raise
        _audit(turn, AuditEntry(now, actor, command, DONE))
    return taken


def fingerprints(directory: Directory) -> tuple[str, str]:
    """SHA-256 of the first and of the newest root of a directory."""
    roots = directory.chain.files
    return sha256(roots[min(roots)]).hexdigest(), sha256(roots[max(roots)]).hexdigest()


def _audit(turn: Turn, entry: AuditEntry) -> None:
    turn.write(lambda records: records.add_audit(entry))


def _keys(
    registry: Registry, order: DraftOrder, before: Directory, now: datetime
) -> tuple[RootChange, Signers]:
    """The whole change of the root, and the keys here under the root to come."""
    keys, change = registry.folder.keys, order.change
    if order.new_online_key:
        change = replace(change, online=_public(keys.make_next(ONLINE)))
    if order.auto_publish:
        change = replace(change, identity=[_public(keys.make_next(IDENTITY))], identity_threshold=1)
    root = before.chain.root
    if change.is_wanted():
        root = next_root(root, change, now).signed
    return change, keys.signers(root)


def _public(signer: Signer) -> Key:
    return signer.public_key


def _written(before: Directory, made: Mapping[str, Metadata[Any]], now: datetime) -> Drafted:
    file = DraftFile(
        schema=drafting.SCHEMA,
        network=before.network,
        made_at=time_text(now),
        summary=(),
        roles={},
        directory={name: data.decode("utf-8") for name, data in before.files.items()},
    )
    file = drafting.with_roles(file, made)
    draft = drafting.read_draft(drafting.encode_draft(file), now)
    changes = changes_of(draft)
    file = drafting.with_summary(file, [change.text for change in changes])
    return Drafted(drafting.encode_draft(file), changes, drafting.signings(draft))
