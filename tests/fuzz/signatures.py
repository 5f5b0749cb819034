"""Verdicts on signatures: from the table of checks, and from the pipe of the checking process."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from edocnode.domain.signature_checks import SignatureCheck
from edocnode.domain.signatures import (
    CheckState,
    Coverage,
    PartState,
    PartVerdict,
    Reason,
    SignatureFacts,
    SignerKind,
    decode_part_verdict,
    decode_verdict,
    encode_verdict,
    judge,
    judge_document,
)
from edocnode.rpc.signature_messages import signatures_to_message
from tests.fuzz.target import Target

_AT = datetime(2026, 11, 23, 3, 4, tzinfo=UTC)


def verdict(data: bytes) -> None:
    """What is read is written the same, and can be told to an office."""
    with suppress(ValueError):
        decode_part_verdict(data)
    read = decode_verdict(data)
    assert decode_verdict(encode_verdict(read)) == read
    signatures_to_message(SignatureCheck(state=CheckState.DONE, verdict=read))


def _seeds() -> Iterator[bytes]:
    facts = SignatureFacts(
        field="Ký",
        kind=SignerKind.PERSONAL,
        signer="Nguyễn Văn A",
        certificate_sha256="00" * 32,
        signed_at=_AT,
        coverage=Coverage.WHOLE,
        weak=("SHA-1",),
    )
    part = PartVerdict(
        index=1,
        name="Quyết định.pdf",
        kind="pdf",
        state=PartState.CHECKED,
        reason=Reason.WEAK_ALGORITHM,
        signatures=(judge(facts, strict=False),),
    )
    yield msgspec.json.encode(part)
    yield encode_verdict(judge_document([part], _AT))
    yield encode_verdict(judge_document([], _AT))


TARGETS = [Target(name="signature_verdict", run=verdict, seeds=_seeds)]
