"""When a seal existed, and whether a revocation or an end of its certificate or suite spoils it.

A seal states its own time, which the holder of a key can choose. Two things show more: a timestamp
over the seal, whose authority the reader trusts; and the seal of *another* agency that names the
statement: the receipt for an envelope, a status about it, the manifest over all. For a certificate
that was revoked, one of them must be older than that. The same goes for a sender that has ended, or
whose certificate has: an envelope that nobody else ever saw could have been made yesterday with the
old key. A receipt binds whoever sealed it, whenever that was. A suite that an
agency gave up for a stronger one is treated like a certificate that was revoked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509

from edoccore.directory.layout import WIND_UP
from edoccore.directory.revocations import Revocations
from edoccore.directory.seals import ListedSeal
from edoccore.errors import EdocError
from edockit.time_tokens import TimeToken, TimeTokenError, check_token, imprint_of
from edocnode.domain.timestamps import TimeProof
from edocnode.evidence.container import invalid
from edocnode.evidence.lives import Lives
from edocnode.evidence.members import NO_RECEIPT, TIMESTAMP
from edocnode.evidence.reading import CheckedStatement
from edocnode.evidence.verdict import Finding, VerdictKind

_STEP = 13
_SEVERITY = (
    VerdictKind.VALID,
    VerdictKind.REVOKED_LATER,
    VerdictKind.TIME_NOT_PROVEN,
    VerdictKind.INVALID,
)
_DECISIVE = ("envelope", "receipt")  # a status that proves nothing takes nothing from these
_INSTEAD = ("envelope", NO_RECEIPT)  # without a receipt
_BY_AUTHORITY = "timestamp authority"


@dataclass(frozen=True, slots=True)
class Witness:
    """Whose seal names the statement, and when it says it did; ``folder``: where that seal is."""

    folder: str
    listed: ListedSeal
    at: datetime


@dataclass(frozen=True, slots=True)
class ProvenTime:
    """By when a seal certainly existed, and who shows it."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class _Limit:
    """Before which moment a seal must have existed, and what came then."""

    at: datetime
    what: str


def check_tokens(
    times: Mapping[str, TimeProof],
    statements: Mapping[str, CheckedStatement],
    anchors: Sequence[x509.Certificate],
) -> tuple[dict[str, TimeToken], list[str]]:
    """Step 12: each token is over a batch with this seal in it, and by whom.

    Returns:
        Tokens of trusted authorities by folder, and notes about those that count for nothing.

    Raises:
        EvidenceInvalidError: A token or its proof belongs to something else.
    """
    tokens: dict[str, TimeToken] = {}
    notes: list[str] = []
    for folder, time in times.items():
        name = f"{folder}/{TIMESTAMP}"
        try:
            time.check_place(statements[folder].sealed.seal)
            if imprint_of(time.token) != sha256(time.root).digest():
                raise invalid(name, "it was made for another batch of seals")
        except TimeTokenError as error:
            raise invalid(name, str(error)) from error
        except EdocError as error:
            raise invalid(name, error.message.rstrip(".")) from error
        if not anchors:
            continue
        try:
            tokens[folder] = check_token(time.token, time.root, anchors)
        except TimeTokenError as error:
            notes.append(f"{name} counts for nothing: {error}")
    if times and not anchors:
        notes.append(
            "there are timestamps, which count for nothing: no timestamp authority is trusted here"
        )
    return tokens, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeJudge:
    """Judges by when the seals of one evidence file existed.

    Attributes:
        manifest: Who made the file, and when.
        tokens: Timestamps that hold, by folder.
        weak: Whose suite is below its agency's minimum, by folder, and since when.
    """

    statements: Mapping[str, CheckedStatement]
    manifest: Witness
    tokens: Mapping[str, TimeToken]
    revocations: Revocations
    lives: Lives
    weak: Mapping[str, datetime]
    now: datetime

    def verdict(self) -> tuple[VerdictKind, list[Finding]]:
        """Judges each seal whose certificate was revoked or has ended.

        Of envelope and receipt, or of what stands in its place, the worse decides.
        """
        worst = VerdictKind.VALID
        findings = []
        decisive = _DECISIVE if "receipt" in self.statements else _INSTEAD
        for folder, statement in self.statements.items():
            limit = self._limit(folder, statement.listed)
            if limit is None:
                continue
            kind, why = self._judged(folder, statement, limit.at)
            if kind is VerdictKind.VALID:
                continue
            findings.append(Finding(_STEP, folder, f"{why} {limit.what} ({limit.at:%Y-%m-%d})"))
            if folder in decisive:
                worst = max(worst, kind, key=_SEVERITY.index)
        return worst, findings

    def earliest(self, folder: str) -> ProvenTime | None:
        """By when a seal certainly existed, whatever it says itself; None when nobody else says."""
        if folder not in self.statements:
            return None
        found = [
            ProvenTime(witness.at, witness.listed.agency)
            for witness in self._witnesses(folder)
            if self._counts(witness, folder)
        ]
        if folder in self.tokens:
            token = self.tokens[folder]
            found.append(ProvenTime(token.at, f"{_BY_AUTHORITY} {token.authority}"))
        return min(found, key=lambda item: item.at, default=None)

    def _judged(
        self, folder: str, statement: CheckedStatement, limit: datetime
    ) -> tuple[VerdictKind, str]:
        if statement.time >= limit:
            return VerdictKind.INVALID, "was sealed after"
        proven = self.earliest(folder)
        if proven is None or proven.at >= limit:
            return VerdictKind.TIME_NOT_PROVEN, "is not shown by anybody else to be older than"
        if not self._is_revoked(statement.listed):
            return VerdictKind.VALID, ""
        if proven.by.startswith(_BY_AUTHORITY):
            return VerdictKind.REVOKED_LATER, "is shown by a timestamp to be older than"
        return VerdictKind.REVOKED_LATER, "is shown by another agency to be older than"

    def _limit(self, folder: str, listed: ListedSeal) -> _Limit | None:
        """Before which moment the seal must be shown to have existed; None: that is no matter."""
        ends = []
        agency = listed.agency
        if folder in _INSTEAD and self.now > listed.not_after:
            ends.append(_Limit(listed.not_after, f"the end of {agency}'s certificate"))
        life = self.lives.ended(agency)
        if folder in _INSTEAD and life is not None and life.valid_to is not None:
            silent = life.valid_to + WIND_UP  # until then it hands over what it sealed before
            if self.now > silent:
                ends.append(_Limit(silent, f"the end of {agency}"))
        if folder in self.weak:
            suite = self.statements[folder].seal.suite
            ends.append(_Limit(self.weak[folder], f"the end of suite {suite} for {agency}"))
        revocation = listed.revocation(self.revocations)
        if revocation is not None:
            what = f"the revocation of {agency}'s certificate"
            return _Limit(min([revocation.worthless_from, *(end.at for end in ends)]), what)
        return min(ends, key=lambda end: end.at, default=None)

    def _is_revoked(self, listed: ListedSeal) -> bool:
        return listed.revocation(self.revocations) is not None

    def _counts(self, witness: Witness, folder: str) -> bool:
        """Whether the word of a witness about another agency's seal is worth something."""
        if witness.listed.agency == self.statements[folder].listed.agency:
            return False
        revocation = witness.listed.revocation(self.revocations)
        ends = [] if revocation is None else [revocation.worthless_from]
        if witness.folder in self.weak:
            ends.append(self.weak[witness.folder])
        if not ends:
            return True
        token = self.tokens.get(witness.folder)
        return token is not None and token.at < min(ends)

    def _witnesses(self, folder: str) -> Iterator[Witness]:
        yield self.manifest
        named_by = [f"{folder}-receipt"]
        if folder == "envelope":
            named_by = [
                name
                for name in self.statements
                if name == "receipt"
                or (name.startswith("status-") and not name.endswith("-receipt"))
            ]
        for name in named_by:
            if name in self.statements:
                statement = self.statements[name]
                yield Witness(name, statement.listed, statement.time)
