"""What was found of signatures, in words that a clerk understands. The same words everywhere."""

from typing import Any

from edockit.language import _, marked, told
from edocnode.cli.wording import clock, plain

LEGAL_STATUS = {
    "replaces_paper": marked("replaces paper"),
    "reference_only": marked("for reference only"),
    "not_checked": marked("not checked"),
}
KINDS = {
    "personal": marked("personal"),
    "organisation": marked("organisation"),
    "unknown": marked("kind unknown"),
}
TIMES = {
    "timestamp": marked("time from a timestamp"),
    "claimed": marked("time as the signer claims"),
}
COVERAGE = {
    "whole": marked("covers the whole file"),
    "validation_added": marked("covers the whole file; only proofs of validity were added later"),
    "signatures_added": marked("covers all but later signatures"),
    "changed": marked("the file was changed after it"),
    "partial": marked("covers only a part of the file"),
}
REVOCATION = {
    "revoked_since": marked("its certificate was revoked later"),
    "unknown": marked("no revocation list says whether its certificate was revoked"),
}
TIMESTAMPS = {
    "untrusted": marked("its timestamp is of an authority that this node does not trust"),
    "broken": marked("its timestamp does not belong to it"),
    "expired": marked("the certificate behind its timestamp has ended"),
    "revoked": marked("the certificate behind its timestamp was revoked"),
}
REASONS = {
    "SIGNATURE_MALFORMED": marked("it cannot be read"),
    "DIGEST_MISMATCH": marked("the content was changed"),
    "SIGNATURE_MISMATCH": marked("it was not made by the key of its certificate"),
    "NOT_WHOLE_FILE": marked("no valid signature covers the whole file"),
    "CHANGED_AFTER_SIGNING": marked("the file was changed after signing"),
    "WEAK_ALGORITHM": marked("it can be forged, because an algorithm is too weak"),
    "UNTRUSTED_ROOT": marked("no trust store of this node vouches for the signer's authority"),
    "NO_PATH_TO_ROOT": marked("nothing connects the signer to an authority that this node trusts"),
    "CHAIN_INVALID": marked("its certificate breaks a rule of its authority"),
    "CERTIFICATE_NOT_VALID_AT_SIGNING": marked("its certificate was not valid when it was signed"),
    "CERTIFICATE_EXPIRED_TIME_UNPROVEN": marked(
        "its certificate has ended, and nothing proves that it was signed before"
    ),
    "CERTIFICATE_REVOKED": marked("its certificate was revoked"),
    "REVOCATION_UNKNOWN": marked("no revocation list says whether its certificate was revoked"),
    "KEY_NOT_FOR_SIGNING": marked("its certificate is not for signing documents"),
    "UNSIGNED": marked("it has no signature"),
    "ENCRYPTED": marked("it is encrypted"),
    "PART_NOT_DECRYPTED": marked("it was sent encrypted and cannot be decrypted here"),
    "NOT_A_PDF": marked("it is not a PDF, though it is named so"),
    "NOT_XML": marked("it is not XML, though it is named so"),
    "DTD_REFUSED": marked("it declares a document type, which is refused"),
    "UNREADABLE": marked("it is damaged"),
    "NESTED_TOO_DEEP": marked("it is nested too deep"),
    "DECOMPRESSION_LIMIT": marked("it unpacks to too much"),
    "TOO_LARGE": marked("it is too large to be checked (largest_check_mib)"),
    "CHECK_TOOK_TOO_LONG": marked("the check took too long"),
    "CHECK_OUT_OF_MEMORY": marked("the check needed too much memory"),
    "CHECK_CRASHED": marked("the check broke"),
    "PART_NOT_HERE": marked("the file is not here, or not as it was sealed"),
    "NO_TRUST_STORE": marked("this node has no trust store; set trust_stores in edocnode.toml"),
    "NOT_INSTALLED": marked("the extra is not installed; pip install 'edocnode[signatures]'"),
    "PENDING": marked("the check has not ended yet"),
    "VERDICT_DAMAGED": marked(
        "what was found can no longer be read; edocnode signatures recheck ID"
    ),
    "NO_SIGNED_PART": marked("no file is signed"),
    "NO_VALID_PERSONAL_SIGNATURE": marked("no valid signature of a person"),
    "NO_VALID_ORGANISATION_SIGNATURE": marked("no valid signature of the organisation"),
    "ATTACHMENT_WITHOUT_ORGANISATION_SIGNATURE": marked(
        "an attached PDF lacks the organisation's valid signature"
    ),
}


def short_status(status: str) -> str:
    """What the law makes of a document, for a column."""
    words = {"replaces_paper": _("as paper"), "reference_only": _("reference")}
    return words.get(status, "?" if status == "not_checked" else "")


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
