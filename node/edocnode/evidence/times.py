"""When a seal existed, and whether a revocation since then spoils it.

A seal states its own time, which the holder of a stolen key can choose. So for a certificate that
was revoked, only the seal of *another* agency, whose certificate was not, shows that the statement
existed before: the receipt for an envelope, a status about it, the manifest over all of them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from edoccore.directory.revocations import Revocations
from edoccore.directory.seals import ListedSeal
from edocnode.evidence.members import NO_RECEIPT
from edocnode.evidence.reading import CheckedStatement
from edocnode.evidence.verdict import Finding, VerdictKind

_STEP = 11
_SEVERITY = (
    VerdictKind.VALID,
    VerdictKind.REVOKED_LATER,
    VerdictKind.TIME_NOT_PROVEN,
    VerdictKind.INVALID,
)
_DECISIVE = ("envelope", "receipt")  # a status that proves nothing takes nothing from these
_INSTEAD = ("envelope", NO_RECEIPT)  # without a receipt
Witness = tuple[ListedSeal, datetime]  # whose seal names the statement, and when it says it did


def judge_times(
    statements: Mapping[str, CheckedStatement], manifest: Witness, revocations: Revocations
) -> tuple[VerdictKind, list[Finding]]:
    """Judges each seal whose certificate was revoked.

    Of envelope and receipt, or of what stands in its place, the worse decides.
    """
    worst = VerdictKind.VALID
    findings = []
    decisive = _DECISIVE if "receipt" in statements else _INSTEAD
    for folder, statement in statements.items():
        revocation = statement.listed.revocation(revocations)
        if revocation is None:
            continue
        limit = revocation.worthless_from
        proven = any(
            witness.agency != statement.listed.agency
            and witness.revocation(revocations) is None
            and at < limit
            for witness, at in _witnesses(folder, statements, manifest)
        )
        if statement.time >= limit:
            kind, why = VerdictKind.INVALID, "was sealed after"
        elif proven:
            kind, why = VerdictKind.REVOKED_LATER, "is shown by another agency to be older than"
        else:
            kind, why = VerdictKind.TIME_NOT_PROVEN, "is not shown by anybody else to be older than"
        text = f"{why} the revocation of {statement.listed.agency}'s certificate ({limit:%Y-%m-%d})"
        findings.append(Finding(_STEP, folder, text))
        if folder in decisive:
            worst = max(worst, kind, key=_SEVERITY.index)
    return worst, findings


def _witnesses(
    folder: str, statements: Mapping[str, CheckedStatement], manifest: Witness
) -> Iterator[Witness]:
    yield manifest
    named_by = [f"{folder}-receipt"]
    if folder == "envelope":
        named_by = [name for name in statements if name == "receipt" or name.startswith("status-")]
    for name in named_by:
        if name in statements and not (folder == "envelope" and name.endswith("-receipt")):
            yield statements[name].listed, statements[name].time
