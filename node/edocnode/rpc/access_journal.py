"""Makes the entries of the access history for one call, and reads who makes it."""

from __future__ import annotations  # Journal names Metadata before it is there

from collections.abc import Callable
from datetime import datetime

import grpc

from edoccore.errors import EdocError
from edocnode.domain.access_log import MAX_DETAIL, Access, AccessEntry, Records
from edocnode.domain.model import DocumentId
from edocnode.rpc.introducing import ACTOR, AUTHORIZATION, PURPOSE
from edocnode.rpc.office_rights import CALLS

MAX_ACTOR = 200
_BEARER = "bearer "
_PURPOSES = {
    (Access.PART_READ, "save"): Access.SAVED,
    (Access.PART_READ, "export"): Access.EXPORTED,
    (Access.SHOWN, "export"): Access.EXPORTED,
}


class Journal:
    """Makes the entries of one call."""

    def __init__(
        self,
        records: Records,
        clock: Callable[[], datetime],
        *,
        account: str,
        call: str,
        metadata: Metadata,
    ) -> None:
        """Takes who calls what."""
        self._records = records
        self._clock = clock
        self._account = account
        self._actor = metadata.actor
        rule = CALLS.get(call)
        self._action = rule.action if rule else Access.DENIED
        self._action = _PURPOSES.get((self._action, metadata.purpose), self._action)

    def note(
        self, document_id: bytes | None = None, *, detail: str = "", action: Access | None = None
    ) -> None:
        """Notes what was done, with one document or with none."""
        self._records.record(
            AccessEntry(
                at=self._clock(),
                account=self._account,
                actor=self._actor,
                action=action or self._action,
                document_id=DocumentId(document_id) if document_id else None,
                detail=detail[:MAX_DETAIL],
            )
        )

    def denied(self, error: EdocError, call: str, asked: str) -> None:
        """Notes what an account was denied, with the beginning of the id it asked for."""
        self._records.record(
            AccessEntry(
                at=self._clock(),
                account=self._account,
                actor=self._actor,
                action=Access.DENIED,
                asked=asked[:40],
                detail=f"{call} {error.reason}",
            )
        )


class Metadata:
    """What a caller sends beside its request."""

    def __init__(self, details: grpc.HandlerCallDetails) -> None:
        """Reads it."""
        given = dict(details.invocation_metadata or ())
        bearer = _text(given.get(AUTHORIZATION, ""))
        is_bearer = bearer[: len(_BEARER)].lower() == _BEARER
        self.token = bearer[len(_BEARER) :].strip() if is_bearer else ""
        self.actor = _shown(_text(given.get(ACTOR, "")))
        self.purpose = _text(given.get(PURPOSE, ""))


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shown(actor: str) -> str:
    """A name as told, without what would not show in a list."""
    return "".join(letter for letter in actor if letter.isprintable())[:MAX_ACTOR]
