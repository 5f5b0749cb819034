"""What is known of signatures in a document, as plain values of ``--json``."""

from datetime import UTC
from typing import Any

from edockit.console import local_time
from edocnet.office.v1 import office_service_pb2 as messages

Json = dict[str, Any]  # as json.dumps takes it


def signatures_json(check: messages.SignatureCheck) -> Json:
    """Legal status, its reasons and the parts with their signatures."""
    status = messages.LegalStatus.Name(check.legal_status)
    return {
        "legal_status": status.removeprefix("LEGAL_STATUS_").lower(),
        "legal_reasons": list(check.reasons),
        "signatures_checked_at": _time(check, "check_time"),
        "checked_parts": [_part(part) for part in check.parts],
    }


def _part(part: messages.CheckedPart) -> Json:
    return {
        "index": part.index,
        "name": part.name,
        "state": part.state,
        "reason": part.reason,
        "detail": part.detail,
        "signatures": [_signature(each) for each in part.signatures],
        "more_signatures": part.more,
    }


def _signature(found: messages.Signature) -> Json:
    return {
        "result": found.result,
        "reason": found.reason,
        "kind": found.kind,
        "signer": found.signer,
        "organisation": found.organisation,
        "signed_at": _time(found, "sign_time"),
        "time_source": found.time_source,
        "coverage": found.coverage,
        "intact": found.intact,
        "chain": found.chain,
        "trust_store": found.trust_store,
        "revocation": found.revocation,
        "revoked_at": _time(found, "revoke_time"),
        "weak": list(found.weak),
        "certificate_sha256": found.certificate_sha256.hex(),
        "field": found.field,
        "timestamp": found.timestamp,
    }


def _time(message: Any, name: str) -> str:  # noqa: ANN401 - messages with a time of this name
    if not message.HasField(name):
        return ""
    return local_time(getattr(message, name).ToDatetime(UTC))
