"""What the check of an evidence file found."""

from dataclasses import dataclass
from enum import StrEnum

from edoccore.errors import ExitCode


class VerdictKind(StrEnum):
    """What a third party may conclude."""

    VALID = "valid"
    REVOKED_LATER = "valid, signer revoked later"
    TIME_NOT_PROVEN = "time not proven"  # revoked since, and nobody else shows it existed before
    INVALID = "invalid"
    NO_ANCHOR = "no anchor"  # agrees with itself, which anybody's forgery would too


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    Attributes:
        number: The step of VERIFY.md that found it.
        member: Which file of the evidence; empty when it is none in particular.
    """

    number: int
    member: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result.

    Attributes:
        findings: Why it is not simply valid.
        notes: What is missing without harm, such as destroyed parts.
        fingerprint: SHA-256 of the trusted root file; without an anchor, of the oldest one found.
        made_by: Agency that made the file, with ``made_at``; empty when that could not be read.
        facts: Sender, recipient, answer and times as the statements say, for display.
    """

    kind: VerdictKind
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    made_by: str = ""
    made_at: str = ""
    facts: dict[str, str]

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with: done only for the two kinds of valid."""
        if self.kind in (VerdictKind.VALID, VerdictKind.REVOKED_LATER):
            return ExitCode.DONE
        return ExitCode.REFUSED
