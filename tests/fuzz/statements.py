"""Statements, records, seals, proofs, and parcels that carry them."""

from collections.abc import Iterator
from hashlib import sha256

import msgspec

from edoccore.errors import EdocError
from edoccore.signing import canonical, merkle
from edoccore.signing.records import DocumentRecord, RevocationRecord, StatusRecord
from edoccore.signing.seal import SealedStatement, SignedSeal, check_membership, open_seal
from edoccore.signing.statements import (
    Effect,
    Endpoint,
    Envelope,
    EpochOpening,
    Receipt,
    Seal,
)
from edoccore.wire.sealed import split_proof
from edocnode.domain.checks import Standing
from edocnode.domain.exchange import Parcel
from edocnode.domain.receiving import judge_parcels, parcel_answer
from edocnode.domain.sessions import read_opening
from edocnode.evidence.manifest import Manifest
from tests.fuzz.target import Target
from tests.fuzz.world import NOW, world

_KINDS = (
    Envelope,
    Receipt,
    EpochOpening,
    Endpoint,
    Effect,
    Seal,
    DocumentRecord,
    StatusRecord,
    RevocationRecord,
    Manifest,
)
_BY_TYPE = {kind.__struct_config__.tag: kind for kind in _KINDS}


def statement(data: bytes) -> None:
    """What is read encodes to the same bytes, and claims the type it was read as."""
    claimed = canonical.statement_type(data)
    value = canonical.decode(data, _BY_TYPE.get(claimed, Envelope))
    assert canonical.encode(value) == data
    assert type(value) is _BY_TYPE[claimed]


def seal(data: bytes) -> None:
    """A seal over its own bytes' claim, with a statement, a leaf and a proof after line feeds."""
    sealed = _split(data)
    value = canonical.decode(sealed.seal.data, Seal)
    assert canonical.encode(value) == sealed.seal.data
    check_membership(value, sealed.statement, sealed.leaf, sealed.proof)
    # What is accepted leads to the root: computed here by another way.
    assert merkle.leaf_hash(sealed.statement).hex() == value.statements.root or sealed.proof


def opened(data: bytes) -> None:
    """Seals are signed with the key of H26 whatever they say; openings are read."""
    sealed = _split(data)
    signer = world().exchange.sender.signer
    signed = SignedSeal(sealed.seal.data, signer.sign(sealed.seal.data))
    verified = open_seal(signed, world().directory, network=world().directory.network, at=NOW)
    check_membership(verified.seal, sealed.statement, sealed.leaf, sealed.proof)
    read_opening(canonical.decode(sealed.statement, EpochOpening), sealed, verified)


def parcel(data: bytes) -> None:
    """An envelope under H26's seal, after two bytes of length, then its joined parts."""
    length = int.from_bytes(data[:2], "big")
    envelope, parts = data[2 : 2 + length], data[2 + length :]
    made = world().exchange
    sealed = made.sender.seal(envelope, time=NOW)[0]
    offered = Parcel(envelope=sealed, parts=parts, offer=not parts)
    standing = Standing(
        network=world().directory.network,
        agency=made.recipient.code,
        peer=made.sender.code,
        directory=world().directory,
        now=NOW,
    )
    verified = open_seal(sealed.seal, world().directory, network=standing.network, at=NOW)
    (judged,) = judge_parcels([offered], [(verified, {})], [standing])
    if not isinstance(judged, Exception):
        return
    if not isinstance(judged, EdocError):
        raise judged
    if judged.answer is None:
        raise AssertionError(f"no answer to a parcel: {judged.reason}") from judged
    answer = parcel_answer(offered, judged)
    if answer.envelope_digest != sha256(envelope).digest():
        raise AssertionError("the answer is to another envelope") from judged


def _split(data: bytes) -> SealedStatement:
    lines = (data.split(b"\n", 3) + [b""] * 4)[:4]
    leaf = int(lines[2]) if lines[2].isdigit() and len(lines[2]) < 20 else 0
    return SealedStatement(lines[1], leaf, split_proof(lines[3]), SignedSeal(lines[0], b""))


def _sealed_seeds() -> Iterator[bytes]:
    evidence = world().exchange.evidence
    status = evidence.statuses[0]
    for item in (evidence.envelope, evidence.receipt, status.envelope, status.receipt):
        yield b"\n".join([item.seal.data, item.statement, b"%d" % item.leaf, b"".join(item.proof)])


def _opening_seeds() -> Iterator[bytes]:
    agency = world().exchange.sender
    for previous in ({}, {"previous": {"epoch": agency.epoch, "size": 3, "root": "0" * 64}}):
        body = {
            "agency": agency.code,
            "epoch": agency.epoch,
            "network": agency.network,
            "reason": "start",
            "type": "edoc.epoch/v1",
            **previous,
        }
        data = msgspec.json.encode(body, order="sorted")
        agency.index = 0
        item = agency.seal(data, time=NOW)[0]
        yield b"\n".join([item.seal.data, item.statement, b"0", b""])


def _parcel_seeds() -> Iterator[bytes]:
    evidence = world().exchange.evidence
    envelope = evidence.envelope.statement
    yield len(envelope).to_bytes(2, "big") + envelope
    value = canonical.decode(envelope, Envelope)
    short = msgspec.structs.replace(value, parts=value.parts[:1])
    data = canonical.encode(short)
    yield len(data).to_bytes(2, "big") + data + evidence.inline[0]


def _statement_seeds() -> Iterator[bytes]:
    evidence, directory = world().exchange.evidence, world().directory
    status = evidence.statuses[0]
    yield from (evidence.envelope.statement, evidence.receipt.statement, evidence.inline[0])
    yield from (evidence.envelope.seal.data, status.envelope.statement, status.record)
    yield directory.endpoints["H26"].sealed.statement
    yield next(_opening_seeds()).split(b"\n")[1]
    effect = Effect(
        network="vn-test",
        agency="H26",
        kind="document.accepted",
        subject="1",
        actor="Nguyễn Văn A",
        time="2026-11-26T08:00:00.000Z",
        detail='\t"\\ \n',
    )
    yield canonical.encode(effect)


TARGETS = [
    Target(name="statement", run=statement, seeds=_statement_seeds, max_bytes=8192),
    Target(name="seal", run=seal, seeds=_sealed_seeds),
    Target(name="opening", run=opened, seeds=_opening_seeds),
    Target(name="parcel", run=parcel, seeds=_parcel_seeds),
]
