"""The statements of the exchange: every shape that is ever sealed, and its limits.

A statement is canonical JSON (see ``canonical``), kept and sent as exact bytes. ``type`` and
``network`` are in each, so none can be replayed as another kind or in another network. Optional
fields are absent when not set; an empty list is absent too, an empty text is never allowed unless
the field says so. This module only describes; who may say what is decided elsewhere.

Source: proto/README.md, section Statements.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_PARTS = 100  # parts of one envelope, the record included
MAX_PART_BYTES = 1 << 42  # 4 TiB: a bound on what can be stated, not a promise to store it
MAX_SUBJECT = 500  # characters; Decree 30/2020, Appendix VI
MAX_ADDRESSES = 8  # of one endpoint
MAX_TLS_CERTIFICATES = 2  # current and next
MAX_SUBAGENCIES = 2000  # of one list, those that were closed too
MAX_LIST_BYTES = 512 * 1024  # of a list of sub-agencies
RECORD_NAME = "record.json"
DOCUMENT_MEDIA_TYPE = "application/vnd.edoc.document+json"
STATUS_MEDIA_TYPE = "application/vnd.edoc.status+json"
REVOCATION_MEDIA_TYPE = "application/vnd.edoc.revocation+json"

# The patterns fix one spelling of each value, so equal values have equal bytes.
Uuid = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Time = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z\Z"),
]
Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]\Z")]
Code = Annotated[str, Meta(min_length=1, max_length=35)]
Network = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]


class Urgency(StrEnum):
    """How fast a document must travel; Decision 28/2018, Article 10(k)."""

    NORMAL = "normal"
    KHAN = "khan"
    THUONG_KHAN = "thuong_khan"
    HOA_TOC = "hoa_toc"


class Operation(StrEnum):
    """What an envelope does to the document it names."""

    NEW = "new"
    UPDATE = "update"
    REPLACE = "replace"
    REVOKE = "revoke"
    STATUS = "status"


class Result(StrEnum):
    """What a receipt says."""

    RECEIVED = "received"
    REJECTED = "rejected"


class Statement(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
):
    """What all statements share.

    Attributes:
        network: Name of the network; a statement is worth nothing in another one.
    """

    network: Network


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of an envelope. Part 0 is the record.

    Attributes:
        index: 0, 1, 2, ... in the order of the list, without gaps.
        name: File name as the sender gave it; see ``part_names``.
        media_type: RFC 6838 type, lower case, without parameters.
        size: Bytes, exact.
        sha256: Digest of the bytes.
    """

    index: Annotated[int, Meta(ge=0, lt=MAX_PARTS)]
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    media_type: Annotated[str, Meta(pattern=r"^[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}\Z")]
    size: Annotated[int, Meta(ge=0, le=MAX_PART_BYTES)]
    sha256: Sha256


class Envelope(
    Statement, frozen=True, kw_only=True, tag="edoc.envelope/v1", rename={"from_": "from"}
):
    """One document on its way to one recipient.

    Attributes:
        message_id: This delivery, for ever.
        document_id: The document; the same for all its recipients.
        from_: Code the document is sent from; owned by the agency that seals.
        to: Code of the recipient; ``to_node`` is the agency whose node serves it.
        epoch: Epoch of the sealer that gave ``seq``.
        seq: Counts up from 1 per (sealing agency, to_node); unique in an epoch.
        created: When the sender submitted it.
        expires: After this moment the sender no longer offers it; at most 90 days.
        about: SHA-256 of the earlier envelope that a status or revocation speaks of; an update or
            replacement names the earlier document in its record.
        parts: 1 to 100; the first is the record.
    """

    message_id: Uuid
    document_id: Uuid
    from_: Code
    to: Code
    to_node: Code
    epoch: Uuid
    seq: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    created: Time
    expires: Time
    urgency: Urgency
    operation: Operation
    about: Sha256 | UnsetType = UNSET
    # More than the allowed number decodes, so that the error can name the limit.
    parts: tuple[Part, ...]


class Receipt(
    Statement, frozen=True, kw_only=True, tag="edoc.receipt/v1", rename={"from_": "from"}
):
    """The recipient's answer to one envelope.

    ``received`` says: envelope and all parts verified and on disk. ``rejected`` is final.

    Attributes:
        envelope: SHA-256 of the exact bytes of the envelope.
        from_: Code of the recipient, as in the envelope's ``to``.
        to: Code of the sender.
        time: When the recipient had verified and kept everything.
        reason: Reason code of the table in proto/README.md; only with ``rejected``.
    """

    envelope: Sha256
    message_id: Uuid
    from_: Code
    to: Code
    result: Result
    time: Time
    reason: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{1,62}\Z")] | UnsetType = UNSET


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the journal of one epoch is known: ``size`` seals with Merkle root ``root``."""

    epoch: Uuid
    size: Count
    root: Sha256


class EpochOpening(Statement, frozen=True, kw_only=True, tag="edoc.epoch/v1"):
    """Statement 0 of seal 0 of an epoch.

    Attributes:
        agency: The agency whose journal it is.
        previous: Last head in the sealer's own database; absent in an agency's first epoch.
        reason: start, takeover, renewal or commit_unknown.
    """

    agency: Code
    epoch: Uuid
    previous: Head | UnsetType = UNSET
    reason: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\Z")]


class EncryptionKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key that parts for an agency's node are encrypted to.

    Attributes:
        suite: 1 = HPKE with MLKEM768-X25519; see ``identity.encryption``.
        key: Base64 of the public key.
    """

    suite: Annotated[int, Meta(ge=1, le=255)]
    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}\Z", max_length=4096)]


class Endpoint(Statement, frozen=True, kw_only=True, tag="edoc.endpoint/v1"):
    """Where and with which TLS certificates an agency's node is reached; sealed by the agency.

    Attributes:
        addresses: host:port, the preferred one first; IPv6 in brackets.
        server_name: DNS name in the certificates, checked by callers.
        certificates: Base64 DER of the TLS certificates, current and next.
        abilities: Statement types that this node understands.
        counter: max(last + 1, unix time in ms); a lower one is never accepted.
        encryption: What parts for it are encrypted to; absent: it takes none that are.
    """

    agency: Code
    addresses: Annotated[
        tuple[Annotated[str, Meta(min_length=3, max_length=262)], ...],
        Meta(min_length=1, max_length=MAX_ADDRESSES),
    ]
    server_name: Annotated[str, Meta(pattern=r"^[a-z0-9.-]{1,253}\Z")]
    certificates: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=4096)], ...],
        Meta(min_length=1, max_length=MAX_TLS_CERTIFICATES),
    ]
    abilities: Annotated[tuple[Text, ...], Meta(max_length=32)]
    counter: Count
    created: Time
    encryption: EncryptionKey | UnsetType = UNSET


class SubAgency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One code in the list of an agency. It has no keys; the agency's node serves it.

    Attributes:
        aliases: Other spellings, such as its old 13-character code.
        closed: When it ended; it stays listed, so that old documents keep their meaning.
    """

    code: Code
    name: Text
    aliases: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    closed: Time | UnsetType = UNSET

    @property
    def codes(self) -> tuple[str, ...]:
        """Its code and its aliases."""
        return (self.code,) if self.aliases is UNSET else (self.code, *self.aliases)


class SubAgencies(Statement, frozen=True, kw_only=True, tag="edoc.subagencies/v1"):
    """The sub-agencies that an agency lists itself, where the officers gave it a space.

    Attributes:
        counter: max(last + 1, unix time in ms); a lower one is never accepted.
        entries: All it ever listed, in order of code; may be empty.
    """

    agency: Code
    counter: Count
    created: Time
    entries: Annotated[tuple[SubAgency, ...], Meta(max_length=MAX_SUBAGENCIES)]


class SealRenewal(Statement, frozen=True, kw_only=True, tag="edoc.renewal/v1"):
    """An agency asks, under its current seal, for the certificate of its next seal key.

    Attributes:
        request: Base64 of a PKCS#10 request (DER) made with the next key.
        second: Base64 of another, made with the next ML-DSA-65 key; only for suite 2.
    """

    agency: Code
    request: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}\Z", max_length=5464)]
    second: (
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}\Z", max_length=10924)] | UnsetType
    ) = UNSET
    created: Time


class KeyEnd(Statement, frozen=True, kw_only=True, tag="edoc.keyend/v1"):
    """An agency ends keys of its own, for good.

    Attributes:
        certificates: SHA-256 of the TLS or seal certificates (DER) that end.
        reason: For people.
        compromised_since: Seals without a proven time before it are worth nothing.
    """

    agency: Code
    certificates: Annotated[tuple[Sha256, ...], Meta(min_length=1, max_length=64)]
    reason: Text
    compromised_since: Time | UnsetType = UNSET
    created: Time


class LogHolder(Statement, frozen=True, kw_only=True, tag="edoc.holder/v1"):
    """An agency says to the registry alone that it shows what it holds of the log.

    Attributes:
        checkpoint: SHA-256 of the signed note that it shows.
    """

    agency: Code
    checkpoint: Sha256
    created: Time


class DirectoryMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which directory the sealer held: version of the snapshot and SHA-256 of its bytes."""

    version: Count
    hash: Sha256


class Tree(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size and root of an RFC 6962 tree; the empty tree has SHA-256 of nothing."""

    size: Count
    root: Sha256


class Seal(Statement, frozen=True, kw_only=True, tag="edoc.seal/v1"):
    """One signature of an agency for one or many statements, and a link of its journal.

    Attributes:
        signer: Owning agency.
        certificates: SHA-256 of the seal certificate (DER), then of its issuers up to the anchor.
        suite: 1 = ECDSA P-256 with SHA-256, 2 = that and ML-DSA-65, 3 = RSA; see ``suites``.
        time: Never earlier than the seal before it in the epoch.
        directory: What the sealer knew of the directory.
        index: Place in the epoch, from 0.
        statements: Tree over the statements' bytes.
        effects: Tree over the salted local effects.
        journal_root: Root over seals 0..index-1 of the epoch; a leaf is a seal's exact bytes.
    """

    signer: Code
    certificates: Annotated[tuple[Sha256, ...], Meta(min_length=1, max_length=4)]
    suite: Annotated[int, Meta(ge=1, le=255)]
    time: Time
    directory: DirectoryMark
    epoch: Uuid
    index: Count
    statements: Tree
    effects: Tree
    journal_root: Sha256


class Effect(Statement, frozen=True, kw_only=True, tag="edoc.effect/v1"):
    """Something an agency did at home, put into its journal as a salted leaf.

    Attributes:
        kind: Dotted name such as document.accepted or admin.takeover.
        subject: Id of the document, message or agency concerned.
        actor: Who did it, as the local system names people.
    """

    agency: Code
    kind: Annotated[str, Meta(pattern=r"^[a-z_]+(\.[a-z_]+)*\Z", max_length=64)]
    subject: Annotated[str, Meta(min_length=1, max_length=64)]
    actor: Annotated[str, Meta(min_length=1, max_length=200)]
    time: Time
    detail: Annotated[str, Meta(min_length=1, max_length=2000)] | UnsetType = UNSET


@lru_cache(maxsize=256)  # a batch is of one moment
def time_text(moment: datetime) -> str:
    """Writes a moment as statements do: RFC 3339, UTC, milliseconds (cut, not rounded), ``Z``.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"moment without time zone: {moment!r}")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """Reads a time that ``time_text`` wrote.

    Raises:
        ValueError: No such day or hour.
    """
    return datetime.fromisoformat(text)  # the pattern of Time has fixed the form


def uuid_bytes(text: str) -> bytes:
    """The 16 bytes of an id in the form of ``Uuid``, as tables and messages carry it."""
    return bytes.fromhex(text.replace("-", ""))


def uuid_text(data: bytes) -> str:
    """The text of an id of 16 bytes, as statements carry it."""
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


STATEMENT_TYPES = (  # that a node understands; renewal, keyend, holder are for the registry
    "edoc.document/v1",
    "edoc.effect/v1",
    "edoc.endpoint/v1",
    "edoc.envelope/v1",
    "edoc.epoch/v1",
    "edoc.receipt/v1",
    "edoc.seal/v1",
    "edoc.status/v1",
    "edoc.subagencies/v1",
    "edoc.revocation/v1",
)
