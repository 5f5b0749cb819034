"""All that is stored about one message and can be shown to a third party.

Values only: storage fills them, ``edocnode.evidence`` writes and checks the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain.timestamps import TimeProof


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvidence:
    """A status that one party sent the other about the message.

    Attributes:
        envelope: The status's own envelope, sealed by who sent it.
        record: Exact bytes of its part 0; None when it was destroyed.
        receipt: None while it is not answered.
    """

    envelope: SealedStatement
    record: bytes | None
    receipt: SealedStatement | None


@dataclass(frozen=True, slots=True)
class SealedEffect:
    """A local effect that proves itself alone: a salted leaf of its seal's effects.

    Attributes:
        salt: 16 random bytes in front of the effect in its leaf.
        sealed: The effect as the statement, with place, proof and seal.
    """

    salt: bytes
    sealed: SealedStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEvidence:
    """Envelope, answer, statuses and small parts of one message.

    Attributes:
        receipt: Received or rejected; None while there is no sealed answer.
        no_receipt: What the sender put into its journal when it gave the delivery up; a receipt
            may have come later.
        statuses: Oldest first; at most ``MAX_STATUSES``.
        inline: Bytes of parts that lie in the database, by index of the part.
        blobs: Indices of the parts that lie in the blob folder under their digest. A part that is
            in neither was destroyed: the evidence holds without it.
        times: Of the seals above that an authority stamped.
    """

    envelope: SealedStatement
    receipt: SealedStatement | None
    statuses: tuple[StatusEvidence, ...]
    inline: Mapping[int, bytes]
    blobs: frozenset[int]
    no_receipt: SealedEffect | None = None
    times: Mapping[SignedSeal, TimeProof] = field(default_factory=dict)


MAX_STATUSES = 50  # of one message in one file; there are seven states
