"""Timestamps in a PDF: which of them count, and by when a signature provably had been made.

A token counts while the certificate of its authority does. When that has ended or was revoked,
the token counts only if something shows that it was there before: a timestamp of the whole file
that was added later and still counts (PAdES B-LTA), or that this node had the part by then.

Source: ETSI EN 319 142-1, 5.5 and 6.3 (document timestamps); RFC 3161, 4 (1) and (2).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.generic_cms import (
    extract_tst_data_iter,
    message_imprint_checker,
    validate_tst_signed_data,
)
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import TimestampSignatureStatus

from edocnode.domain.signatures import Revocation, TimeSource, TimestampState
from edocnode.signatures.certificates import Embedded, revocation_of, timestamp_context
from edocnode.signatures.trust import Trust

_MAX_TOKENS = 5  # looked at in one signature
# What a token that is not as it should be makes the reader raise.
_BROKEN = (SignatureValidationError, ValueError, TypeError, LookupError, AttributeError)

# What counts of several: the first of these.
_ORDER = (
    TimestampState.TRUSTED,
    TimestampState.EXPIRED,
    TimestampState.REVOKED,
    TimestampState.UNTRUSTED,
    TimestampState.BROKEN,
)


@dataclass(frozen=True, slots=True)
class Archived:
    """A timestamp of the whole file that counts: all up to this revision was there at ``at``."""

    revision: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a signature was made.

    Attributes:
        at: As ``source`` says.
        proven_at: By when it certainly had been made.
        timestamp: What became of the token on the signature itself.
    """

    at: datetime | None
    source: TimeSource
    proven_at: datetime
    timestamp: TimestampState


class Timestamps:
    """Judges the timestamps of one file."""

    def __init__(
        self, trust: Trust, embedded: Embedded, *, known_at: datetime, now: datetime
    ) -> None:
        """Takes what is trusted.

        Args:
            embedded: What the file brings along, unproven.
            known_at: When this node had the file.
        """
        self._trust = trust
        self._embedded = embedded
        self._known_at = known_at
        self._now = now

    async def archived(self, stamps: Sequence[EmbeddedPdfSignature]) -> tuple[Archived, ...]:
        """Those timestamps of the whole file that count, each kept alive by the ones after it."""
        found: list[Archived] = []
        for stamp in sorted(stamps, key=lambda each: each.signed_revision, reverse=True):
            state, at = await self._judged(
                stamp.signed_data,
                stamp.compute_digest,
                there_by=self._there_by(stamp.signed_revision, found),
            )
            if state is TimestampState.TRUSTED and at is not None:
                found.append(Archived(stamp.signed_revision, at))
        return tuple(found)

    async def moment_of(
        self, signature: EmbeddedPdfSignature, archived: Sequence[Archived]
    ) -> Moment:
        """When a signature was made: proven by a timestamp, else as its signer claims."""
        there_by = self._there_by(signature.signed_revision, archived)
        state, at = await self._of_signature(signature, there_by)
        if state is TimestampState.TRUSTED and at is not None:
            return Moment(
                at=at, source=TimeSource.TIMESTAMP, proven_at=min(at, there_by), timestamp=state
            )
        if there_by < self._known_at:  # a timestamp of the whole file says so
            return Moment(
                at=there_by, source=TimeSource.TIMESTAMP, proven_at=there_by, timestamp=state
            )
        claimed = signature.self_reported_timestamp
        is_claimed = claimed is not None and claimed.tzinfo is not None
        return Moment(
            at=claimed if is_claimed else None,
            source=TimeSource.CLAIMED if is_claimed else TimeSource.NONE,
            proven_at=there_by,
            timestamp=state,
        )

    def _there_by(self, revision: int, archived: Sequence[Archived]) -> datetime:
        later = (each.at for each in archived if each.revision > revision)
        return min([self._known_at, *later])

    async def _of_signature(
        self, signature: EmbeddedPdfSignature, there_by: datetime
    ) -> tuple[TimestampState, datetime | None]:
        """The best of the tokens on a signature."""
        imprint = message_imprint_checker(signature.signer_info)
        found = [
            await self._judged(token, imprint, there_by=there_by) for token in _tokens(signature)
        ]
        for state in _ORDER:
            times = [at for each, at in found if each is state and at is not None]
            if times:
                return state, min(times)
        return (TimestampState.BROKEN if found else TimestampState.NONE), None

    async def _judged(
        self,
        token: Any,  # noqa: ANN401 - asn1crypto is untyped
        imprint: Callable[[str], bytes],
        *,
        there_by: datetime,
    ) -> tuple[TimestampState, datetime | None]:
        """What a token is worth, and the time that it states."""
        try:
            stated: datetime = token["encap_content_info"]["content"].parsed["gen_time"].native
            context = timestamp_context(self._trust, self._embedded, stated)
            found = await validate_tst_signed_data(token, context, imprint)
        except _BROKEN:
            return TimestampState.BROKEN, None
        status = TimestampSignatureStatus(**found)
        if not status.intact or not status.valid:
            return TimestampState.BROKEN, stated
        if not status.trusted or status.validation_path is None:
            return TimestampState.UNTRUSTED, stated
        path = list(status.validation_path.iter_certs(include_root=True))
        return await self._standing(path, there_by), stated

    async def _standing(self, path: Sequence[Any], there_by: datetime) -> TimestampState:
        """Whether an authority still vouches, for what was there by this moment."""
        revocation, _ = await revocation_of(
            path, self._trust, self._embedded, proven_at=there_by, now=self._now
        )
        if revocation is Revocation.REVOKED:
            return TimestampState.REVOKED
        ends = min(each.not_valid_after for each in [*path[1:-1], path[-1]])
        return TimestampState.TRUSTED if there_by <= ends else TimestampState.EXPIRED


def _tokens(signature: EmbeddedPdfSignature) -> Iterator[Any]:
    found = extract_tst_data_iter(signature.signer_info, signed=False)
    return islice(found, _MAX_TOKENS)
