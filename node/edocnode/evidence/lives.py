"""What the life of agencies means for their seals: what counts after one of them has ended.

Until its end an agency says what it likes. For ``WIND_UP`` after it, it only answers: receipts, and
statuses of what it had. When an agency ended is told by the directory in the evidence and by the
reader's own, which may be newer; the earlier end counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edoccore.directory.layout import WIND_UP
from edoccore.directory.ownership import Agency, Ownership
from edoccore.errors import AgencyUnknownError
from edoccore.signing.statements import Envelope, Operation
from edocnode.evidence.container import invalid
from edocnode.evidence.reading import CheckedStatement


@dataclass(frozen=True, slots=True)
class Lives:
    """The agencies that end, as far as directories tell."""

    directories: Sequence[Ownership]

    def ended(self, code: str) -> Agency | None:
        """The agency behind a code, by the directory that ends it first; None: none ends it."""
        found = [one for directory in self.directories if (one := _agency(directory, code))]
        ends = [one for one in found if one.valid_to is not None]
        return min(ends, key=lambda one: str(one.valid_to), default=None)


def check_lives(statements: Mapping[str, CheckedStatement], lives: Lives) -> list[str]:
    """Step 8: no statement is of an agency that could not say it any more.

    Returns:
        What became of the agencies, for a person.

    Raises:
        EvidenceInvalidError: One was sealed too late.
    """
    for folder, statement in statements.items():
        _check(folder, statement, lives)
    return _notes(statements, lives)


def _check(folder: str, statement: CheckedStatement, lives: Lives) -> None:
    agency = lives.ended(statement.seal.signer)
    if agency is None or agency.valid_to is None:
        return
    value = statement.value
    is_new = isinstance(value, Envelope) and value.operation is not Operation.STATUS
    if is_new and statement.time >= agency.valid_to:
        raise invalid(folder, f"it was sealed when its agency had ended: {agency.how_it_ended()}")
    if statement.time >= agency.valid_to + WIND_UP:
        raise invalid(
            folder,
            f"it was sealed when its agency was silent for good: {agency.how_it_ended()}",
        )


def _notes(statements: Mapping[str, CheckedStatement], lives: Lives) -> list[str]:
    notes: dict[str, None] = {}
    for statement in statements.values():
        codes = [statement.seal.signer]
        if isinstance(statement.value, Envelope):
            codes += [statement.value.from_, statement.value.to]
        for code in codes:
            agency = lives.ended(code)
            if agency is not None:
                notes[f"{agency.how_it_ended()}; what was sealed before stays good"] = None
    sent = statements["envelope"].value
    if isinstance(sent, Envelope) and lives.ended(sent.to) and "receipt" in statements:
        answered = statements["receipt"].seal.signer
        if answered != sent.to:
            notes[f"{answered} answered for {sent.to}, which it follows"] = None
    return list(notes)


def _agency(directory: Ownership, code: str) -> Agency | None:
    try:
        return directory.owners[directory.agency(code).owner]
    except AgencyUnknownError:
        return None
