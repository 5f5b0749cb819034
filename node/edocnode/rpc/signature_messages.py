"""What is known of signatures in a document, as messages of office/v1 carry it."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.signature_checks import SignatureCheck
from edocnode.domain.signatures import (
    LegalStatus,
    PartVerdict,
    Reason,
    SignatureVerdict,
)


def signatures_to_message(check: SignatureCheck | None) -> messages.SignatureCheck:
    """Where the check of a document stands; None: no part of it may hold signatures."""
    if check is None:
        return messages.SignatureCheck(
            legal_status=_legal_status(LegalStatus.REFERENCE_ONLY),
            reasons=[Reason.NO_SIGNED_PART.value],
        )
    verdict = check.verdict
    return messages.SignatureCheck(
        legal_status=_legal_status(check.legal_status),
        reasons=[reason.value for reason in check.reasons],
        check_time=None if verdict is None else _time(verdict.checked_at),
        parts=[] if verdict is None else [_part(part) for part in verdict.parts],
    )


def _legal_status(status: LegalStatus) -> "messages.LegalStatus.ValueType":
    return messages.LegalStatus.Value(f"LEGAL_STATUS_{status.name}")


def _part(part: PartVerdict) -> messages.CheckedPart:
    return messages.CheckedPart(
        index=part.index,
        name=part.name,
        state=part.state.value,
        reason=part.reason.value,
        detail=part.detail,
        signatures=[_signature(each) for each in part.signatures],
        more=part.more,
    )


def _signature(verdict: SignatureVerdict) -> messages.Signature:
    facts = verdict.facts
    return messages.Signature(
        result=verdict.result.value,
        reason=verdict.reason.value,
        kind=facts.kind.value,
        signer=facts.signer,
        organisation=facts.organisation,
        sign_time=_time(facts.signed_at),
        time_source=facts.time_source.value,
        coverage=facts.coverage.value,
        intact=facts.intact,
        chain=facts.chain.value,
        trust_store=facts.store,
        revocation=facts.revocation.value,
        revoke_time=_time(facts.revoked_at),
        weak=facts.weak,
        certificate_sha256=bytes.fromhex(facts.certificate_sha256),
        field=facts.field,
        timestamp=facts.timestamp.value,
    )


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
