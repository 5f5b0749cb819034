"""What was found of signatures, in words that a clerk understands. The same words everywhere."""

from typing import Any

from edockit.language import _, told
from edocnode.cli.wording import clock, plain

LEGAL_STATUS = {
    "replaces_paper": "replaces paper",
    "reference_only": "for reference only",
    "not_checked": "not checked",
}
SHORT_STATUS = {"replaces_paper": "paper", "reference_only": "reference", "not_checked": "?"}
KINDS = {"personal": "personal", "organisation": "organisation", "unknown": "kind unknown"}
TIMES = {
    "timestamp": "time from a timestamp",
    "claimed": "time as the signer claims",
}
COVERAGE = {
    "whole": "covers the whole file",
    "validation_added": "covers the whole file; only proofs of validity were added later",
    "signatures_added": "covers all but later signatures",
    "changed": "the file was changed after it",
    "partial": "covers only a part of the file",
}
REVOCATION = {
    "revoked_since": "its certificate was revoked later",
    "unknown": "no revocation list says whether its certificate was revoked",
}
TIMESTAMPS = {
    "untrusted": "its timestamp is of an authority that this node does not trust",
    "broken": "its timestamp does not belong to it",
    "expired": "the certificate behind its timestamp has ended",
    "revoked": "the certificate behind its timestamp was revoked",
}
REASONS = {
    "SIGNATURE_MALFORMED": "it cannot be read",
    "DIGEST_MISMATCH": "the content was changed",
    "SIGNATURE_MISMATCH": "it was not made by the key of its certificate",
    "NOT_WHOLE_FILE": "no valid signature covers the whole file",
    "CHANGED_AFTER_SIGNING": "the file was changed after signing",
    "WEAK_ALGORITHM": "it can be forged, because an algorithm is too weak",
    "UNTRUSTED_ROOT": "no trust store of this node vouches for the signer's authority",
    "NO_PATH_TO_ROOT": "nothing connects the signer to an authority that this node trusts",
    "CHAIN_INVALID": "its certificate breaks a rule of its authority",
    "CERTIFICATE_NOT_VALID_AT_SIGNING": "its certificate was not valid when it was signed",
    "CERTIFICATE_EXPIRED_TIME_UNPROVEN": "its certificate has ended, and nothing proves that it "
    "was signed before",
    "CERTIFICATE_REVOKED": "its certificate was revoked",
    "REVOCATION_UNKNOWN": "no revocation list says whether its certificate was revoked",
    "KEY_NOT_FOR_SIGNING": "its certificate is not for signing documents",
    "UNSIGNED": "it has no signature",
    "ENCRYPTED": "it is encrypted",
    "NOT_A_PDF": "it is not a PDF, though it is named so",
    "NOT_XML": "it is not XML, though it is named so",
    "DTD_REFUSED": "it declares a document type, which is refused",
    "UNREADABLE": "it is damaged",
    "NESTED_TOO_DEEP": "it is nested too deep",
    "DECOMPRESSION_LIMIT": "it unpacks to too much",
    "TOO_LARGE": "it is too large to be checked (largest_check_mib)",
    "CHECK_TOOK_TOO_LONG": "the check took too long",
    "CHECK_OUT_OF_MEMORY": "the check needed too much memory",
    "CHECK_CRASHED": "the check broke",
    "PART_NOT_HERE": "the file is not here, or not as it was sealed",
    "NO_TRUST_STORE": "this node has no trust store; set trust_stores in edocnode.toml",
    "NOT_INSTALLED": "the extra is not installed; pip install 'edocnode[signatures]'",
    "PENDING": "the check has not ended yet",
    "VERDICT_DAMAGED": "what was found can no longer be read; edocnode signatures recheck ID",
    "NO_SIGNED_PART": "no file is signed",
    "NO_VALID_PERSONAL_SIGNATURE": "no valid signature of a person",
    "NO_VALID_ORGANISATION_SIGNATURE": "no valid signature of the organisation",
    "ATTACHMENT_WITHOUT_ORGANISATION_SIGNATURE": "an attached PDF lacks the organisation's valid "
    "signature",
}


def legal_line(found: dict[str, Any]) -> str:
    """What the law makes of a document, and why: one line."""
    status = told(LEGAL_STATUS.get(found["legal_status"], found["legal_status"]))
    line = _("Legal status: {status}", status=status)
    reasons = "; ".join(told(REASONS.get(code, code)) for code in found["legal_reasons"])
    return f"{line} ({reasons})" if reasons else line


def signature_lines(found: dict[str, Any]) -> list[str]:
    """A line for each signature, and for each file without one."""
    lines = []
    for part in found["checked_parts"]:
        if not part["signatures"]:
            name, why = plain(part["name"]), _of_part(part)
            lines.append(_("File {index}, {name}: {why}", index=part["index"], name=name, why=why))
        lines += [signature_line(each) for each in part["signatures"]]
        if part["more_signatures"]:
            more = part["more_signatures"]
            lines.append(_("{more} more signatures were not looked at", more=more))
    return lines


def signature_line(found: dict[str, Any]) -> str:
    """One signature: who, what it is worth, when, and how much it covers."""
    words = [_worth(found)]
    if found["signed_at"]:
        source = TIMES.get(found["time_source"], "")
        signed = _("signed {when}", when=clock(found["signed_at"]))
        words.append(f"{signed} ({told(source)})" if source else signed)
    words += filter(None, [told(TIMESTAMPS.get(found["timestamp"], ""))])
    if found["reason"] not in ("NOT_WHOLE_FILE", "CHANGED_AFTER_SIGNING"):
        words += filter(None, [told(COVERAGE.get(found["coverage"], ""))])
    if found["result"] == "valid" and found["revocation"] in REVOCATION:
        words.append(f"{told(REVOCATION[found['revocation']])}{_when_revoked(found)}")
    return _(
        "Signature of {name} ({kind}): {words}",
        name=plain(found["signer"]) or _("an unknown signer"),
        kind=told(KINDS.get(found["kind"], KINDS["unknown"])),
        words=", ".join(words),
    )


def _worth(found: dict[str, Any]) -> str:
    if found["result"] == "valid":
        return _("valid")
    word = _("WEAK, does not count") if found["result"] == "weak" else _("NOT valid")
    weak = f" ({', '.join(found['weak'])})" if found["weak"] else ""
    return (
        f"{word}: {told(REASONS.get(found['reason'], found['reason']))}{weak}{_when_revoked(found)}"
    )


def _when_revoked(found: dict[str, Any]) -> str:
    return f" ({clock(found['revoked_at'])})" if found["revoked_at"] else ""


def _of_part(part: dict[str, Any]) -> str:
    reason = told(REASONS.get(part["reason"], part["reason"]))
    if part["state"] in ("check_failed", "not_checked"):
        return _("not checked: {reason}", reason=reason)
    return reason
