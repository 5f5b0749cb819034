"""What stands in a node's own entry of the directory and is not its own.

Whoever has the registry's keys could list another seal or TLS certificate for an agency, another
address, or codes of others. Only the agency itself can tell. So each node holds its entry against
the keys it has and had, the statements it sealed, and the codes that its operator has accepted.

What it finds stops nothing but one thing. A foreign key changes nothing in what this node seals
and receives, and a node that fell silent for it would do the attacker's work; so the exchange goes
on, with an alarm. Only an agency that the directory suspended, or that ended and has wound up,
sends nothing: peers would refuse it message by message, and so they wait here instead.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from edoccore.directory.layout import WIND_UP, codes_by_officers, from_base64
from edoccore.directory.view import Directory
from edoccore.errors import StorageDamagedError
from edoccore.identity.certificate import certificate_digest, certified_key, read_certificate
from edoccore.identity.suites import KeyPair
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import time_text

KEPT_TLS = 64  # digests of own TLS certificates remembered, the newest
KEPT_LISTS = 64  # likewise of lists
ACCEPT = "If that is right: edocnode directory accept --yes. If not, do not wait."
CALL = "Call the registry's officers now, by a way that you know"


class OwnEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is this node's own, as it is kept over restarts.

    Attributes:
        seal_keys: SHA-256 of public keys it has sealed with; of a pair both.
        tls: SHA-256 of TLS certificates it has used.
        codes: Codes, aliases and spaces that its operator accepted; None before the first look.
        lists: SHA-256 of lists of sub-agencies that it made or its operator accepted, the newest.
    """

    seal_keys: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    codes: tuple[str, ...] | None = None
    lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKeys:
    """What the node has now, as SHA-256.

    Attributes:
        seal_keys: Public keys of its seals, that of the next one which it asked for among them.
        tls: TLS certificates.
    """

    seal_keys: Collection[str]
    tls: Collection[str]


@dataclass(frozen=True, slots=True)
class Foreign:
    """One thing that is not the node's own; ``subject`` tells it from the others."""

    subject: str
    message: str


def encode_own(own: OwnEntry) -> bytes:
    """Writes what is kept."""
    return msgspec.json.encode(own)


def decode_own(data: bytes) -> OwnEntry:
    """Reads what ``encode_own`` wrote.

    Raises:
        StorageDamagedError: The bytes are something else.
    """
    try:
        return reader_of(OwnEntry).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StorageDamagedError("The file of this node's own entry is damaged.") from error


def key_digests(certificate: bytes) -> set[str]:
    """SHA-256 of the public key in a seal certificate (DER), or of both of a pair; lower hex."""
    key = certified_key(read_certificate(certificate))
    keys = (key.classical, key.lattice) if isinstance(key, KeyPair) else (key,)
    return set(map(public_key_digest, keys))


def public_key_digest(key: PublicKeyTypes) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo, DER), lower hex."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def with_keys(own: OwnEntry, keys: OwnKeys) -> OwnEntry:
    """Remembers the keys in use, so that they are known when others have taken their place."""
    new = (digest for digest in sorted(keys.seal_keys) if digest not in own.seal_keys)
    tls = (*own.tls, *(digest for digest in sorted(keys.tls) if digest not in own.tls))
    return msgspec.structs.replace(own, seal_keys=(*own.seal_keys, *new), tls=tls[-KEPT_TLS:])


def with_codes(own: OwnEntry, directory: Directory, agency: str) -> OwnEntry:
    """Accepts the codes that the directory lists for the agency now."""
    return msgspec.structs.replace(own, codes=tuple(sorted(codes_of(directory, agency))))


def with_list(own: OwnEntry, statement: bytes) -> OwnEntry:
    """Remembers a list of sub-agencies (exact bytes) as this node's own."""
    digest = sha256(statement).hexdigest()
    rest = (item for item in own.lists if item != digest)
    return msgspec.structs.replace(own, lists=(*rest, digest)[-KEPT_LISTS:])


def codes_of(directory: Directory, agency: str) -> set[str]:
    """All that officers list for an agency besides its code: aliases, codes, spaces."""
    entry = directory.identities.get(agency)
    if entry is None:
        return set()
    return {*codes_by_officers(entry), *entry.spaces} - {agency}


def is_silent(directory: Directory, agency: str, now: datetime) -> bool:
    """Whether the directory says that nobody hears the agency now."""
    found = directory.ownership.owners.get(agency)
    return found is None or not found.answers(directory.not_before(now))


def foreign(
    agency: str, directory: Directory, own: OwnEntry, addresses: Collection[str], now: datetime
) -> list[Foreign]:
    """What in an agency's entry is not its own.

    Args:
        own: With the keys in use.
        addresses: At which this node said that it is reached; empty before it said so.
    """
    return [
        *_state(agency, directory, now),
        *_seals(agency, directory, own),
        *_endpoint(agency, directory, own, addresses),
        *_codes(agency, directory, own),
        *_list(agency, directory, own),
    ]


def _state(agency: str, directory: Directory, now: datetime) -> Iterator[Foreign]:
    if not is_silent(directory, agency, now):
        yield from _end(agency, directory, now)
        return
    yield Foreign(
        "state",
        f"In the directory {agency} is suspended, ended or not listed any more: peers take nothing "
        f"from it and send it nothing. Documents handed in here wait. If you do not know why, do "
        f"not wait. {CALL}.",
    )


def _end(agency: str, directory: Directory, now: datetime) -> Iterator[Foreign]:
    """What was decided about the agency's end; its operator has things to do, or to ask."""
    end = directory.end_of(agency)
    if end is None:
        return
    how, until = directory.how_it_ended(agency), time_text(end + WIND_UP)
    if now < end:
        yield Foreign(
            "state",
            f"The directory says what is to come: {how}. From then on this node seals no new "
            f"documents. If that is not what your superiors decided, do not wait. {CALL}.",
        )
        return
    yield Foreign(
        "state",
        f"{how}. This node seals no new documents and takes none; until {until} it still hands "
        f"over what it sealed before, and answers for what it has. Then stop it, and keep its data "
        f"folder. If that is not what your superiors decided, do not wait. {CALL}.",
    )


def _seals(agency: str, directory: Directory, own: OwnEntry) -> Iterator[Foreign]:
    for digest in _foreign_seals(agency, directory, own):
        yield Foreign(
            f"seal {digest[:16]}",
            f"The directory lists a seal certificate for {agency} whose key this node never "
            f"had: {digest}. Whoever has it can send in the name of {agency}. {CALL}, and have "
            f"it revoked: edocregistry revoke {agency} --seal --compromised-since TIME",
        )


def _foreign_seals(agency: str, directory: Directory, own: OwnEntry) -> list[str]:
    """Seal certificates of the entry that hold, and of whose keys this node never had one."""
    entry = directory.identities.get(agency)
    found = []
    for listing in () if entry is None else entry.seals:
        certificate = from_base64(listing.certificate)
        digest = certificate_digest(certificate)
        revoked = directory.seals.listed(agency, digest).revocation(directory.revocations)
        if revoked is None and not key_digests(certificate) <= set(own.seal_keys):
            found.append(digest)
    return found


def _endpoint(
    agency: str, directory: Directory, own: OwnEntry, addresses: Collection[str]
) -> Iterator[Foreign]:
    endpoint = directory.endpoints.get(agency)
    if endpoint is None:
        return
    for pin in endpoint.pins:
        if pin.sha256 not in own.tls and directory.revocations.find(pin.sha256) is None:
            yield Foreign(
                f"tls {pin.sha256[:16]}",
                f"The directory lists a TLS certificate for {agency} that this node never had: "
                f"{pin.sha256}. Peers may deliver to another machine. {CALL}, and have it "
                f"revoked: edocregistry revoke {agency} --tls",
            )
    if endpoint.listed.digests[0] in _foreign_seals(agency, directory, own) or (
        addresses and not set(endpoint.addresses) <= set(addresses)
    ):
        yield Foreign(
            "endpoint",
            f"The directory says that {agency} is reached at {', '.join(endpoint.addresses)}, "
            f"which this node never said: another machine has its keys, or a copy of this node "
            f"runs elsewhere. If you know of no copy, do not wait. {CALL}.",
        )


def _codes(agency: str, directory: Directory, own: OwnEntry) -> Iterator[Foreign]:
    accepted = set(own.codes or ())
    listed = codes_of(directory, agency) if own.codes is not None else accepted
    for code in sorted(listed ^ accepted):
        changed = (
            f"In the directory the code {code} was taken from {agency}."
            if code in accepted
            else f"In the directory the code {code} was given to {agency}."
        )
        yield Foreign(f"code {code}", f"{changed} {ACCEPT} {CALL}.")


def _list(agency: str, directory: Directory, own: OwnEntry) -> Iterator[Foreign]:
    listed = directory.lists.get(agency)
    if listed is None or sha256(listed.sealed.statement).hexdigest() in own.lists:
        return
    yield Foreign(
        "subagencies",
        f"The directory has a list of {agency}'s sub-agencies that this node did not make: whoever "
        f"did has its seal, or this node was restored. See what it says: edocnode subagency list. "
        f"{ACCEPT} {CALL}.",
    )


def alarms_to_end(open_subjects: Collection[str], found: Collection[Foreign]) -> set[str]:
    """Subjects of alarms that hold no longer."""
    return set(open_subjects) - {item.subject for item in found}
