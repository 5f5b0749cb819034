"""What the statements of one message must say of each other (steps 8 to 11 of VERIFY.md)."""

from collections.abc import Mapping
from hashlib import sha256

from edoccore.directory.spaces import contains
from edoccore.errors import EdocError
from edoccore.signing import canonical
from edoccore.signing.records import StatusRecord
from edoccore.signing.statements import (
    Effect,
    Envelope,
    Operation,
    Receipt,
    SubAgencies,
    parse_time,
)
from edocnode.domain import checks
from edocnode.domain.expiring import NO_RECEIPT_BY, names_envelope
from edocnode.evidence.container import Container, invalid
from edocnode.evidence.directory_extract import Extract
from edocnode.evidence.members import NO_RECEIPT, SUBAGENCIES, part_name
from edocnode.evidence.reading import CheckedStatement

_RECEIPT = "-receipt"


def check_sender(
    envelope: CheckedStatement,
    value: Envelope,
    extract: Extract,
    listed: CheckedStatement | None,
) -> None:
    """Step 8: the agency that sealed owns the code it sends from, by its entry or its own list.

    Raises:
        EvidenceInvalidError: It does not.
    """
    signer = envelope.seal.signer
    if extract.ownership.owns(signer, value.from_):
        return
    if listed is None or not _lists(listed, signer, value.from_, extract):
        raise invalid(envelope.folder, f"{signer} does not own {value.from_}")


def _lists(listed: CheckedStatement, signer: str, code: str, extract: Extract) -> bool:
    """Whether a list is the signer's own, holds, and may name the code."""
    said = listed.value
    if not isinstance(said, SubAgencies) or not said.agency == listed.seal.signer == signer:
        raise invalid(listed.folder, f"it is not the list of {signer}")
    revocation = listed.listed.revocation(extract.book.revocations)
    if revocation is not None and listed.time >= revocation.worthless_from:
        raise invalid(listed.folder, "it was sealed after its key was lost or revoked")
    named = {item for entry in said.entries for item in entry.codes}
    is_in_space = any(contains(space, code) for space in extract.entries[signer].spaces)
    is_another_s = code in extract.codes_by_officers
    return code in named and is_in_space and not is_another_s


def check_receipt(receipt: CheckedStatement, envelope: CheckedStatement) -> None:
    """Step 9: a receipt answers exactly this envelope, and its recipient sealed it.

    Raises:
        EvidenceInvalidError: It does not, or somebody else did.
    """
    sent, got = envelope.value, receipt.value
    if not isinstance(sent, Envelope) or not isinstance(got, Receipt):
        raise invalid(receipt.folder, "it is no receipt for an envelope")
    if got.envelope != envelope.digest:
        raise invalid(receipt.folder, "it is for another envelope")
    if (got.message_id, got.from_, got.to) != (sent.message_id, sent.to, sent.from_):
        raise invalid(receipt.folder, "its message, sender or recipient differs from the envelope")
    if receipt.seal.signer != sent.to_node:
        raise invalid(receipt.folder, f"{receipt.seal.signer} sealed it instead of {sent.to_node}")


def check_no_receipt(given_up: CheckedStatement, envelope: CheckedStatement) -> str:
    """Step 9: the sender said of exactly this envelope, after its end, that nobody had answered.

    Returns:
        What it said, for a person.

    Raises:
        EvidenceInvalidError: It did not, or somebody else did.
    """
    sent, said = envelope.value, given_up.value
    if not isinstance(sent, Envelope) or not isinstance(said, Effect):
        raise invalid(given_up.folder, "it is no effect about an envelope")
    if said.kind != NO_RECEIPT_BY:
        raise invalid(given_up.folder, f"it is of kind {said.kind}, not {NO_RECEIPT_BY}")
    names_it = str(said.detail).startswith(names_envelope(sent, envelope.digest))
    if said.subject != sent.message_id or not names_it:
        raise invalid(given_up.folder, "it is about another envelope")
    if not said.agency == given_up.seal.signer == envelope.seal.signer:
        raise invalid(given_up.folder, "it is not by the agency that sealed the envelope")
    if parse_time(said.time) < parse_time(sent.expires):
        raise invalid(given_up.folder, "it was said before the envelope had ended")
    return f"{said.agency} said at {said.time} that nobody had answered: {said.detail}"


def check_parts(container: Container, envelope: Envelope) -> list[str]:
    """Step 10: each part here is the one the envelope names, and the record agrees with it.

    Returns:
        A note for each part that is not here.

    Raises:
        EvidenceInvalidError: A part is another one, or the envelope knows none of that number.
    """
    notes = []
    known = {part_name(part.index): part for part in envelope.parts}
    for name in sorted(container.names):
        if name.startswith("parts/") and name not in known:
            raise invalid(name, "the envelope has no such part")
    for name, part in known.items():
        if name not in container.names:
            notes.append(f"{name} ({part.size} bytes) was destroyed or is not included")
        elif container.digest(name) != (part.size, part.sha256):
            raise invalid(name, "it is not the part that was sealed")
    record = part_name(0)
    if record in container.names:
        try:
            checks.read_record(envelope, container.read(record))
        except EdocError as error:
            raise invalid(record, error.message.rstrip(".")) from error
    return notes


def check_status(container: Container, status: CheckedStatement, about: CheckedStatement) -> None:
    """Step 11: a status comes from a party of the message and names its envelope.

    Raises:
        EvidenceInvalidError: It does not.
    """
    value, main = status.value, about.value
    if not isinstance(value, Envelope) or not isinstance(main, Envelope):
        raise invalid(status.folder, "it is no envelope")
    if value.operation != Operation.STATUS or value.about != about.digest:
        raise invalid(status.folder, "it is no status of this envelope")
    if status.seal.signer not in (main.to_node, about.seal.signer):
        raise invalid(status.folder, f"{status.seal.signer} is no party of the message")
    name = f"{status.folder}/record.json"
    if name not in container.names:
        return
    record = container.read(name)
    if sha256(record).hexdigest() != value.parts[0].sha256:
        raise invalid(name, "it is not the record that was sealed")
    try:
        said = canonical.decode(record, StatusRecord, limit=canonical.MAX_RECORD_BYTES)
    except EdocError as error:
        raise invalid(name, error.message.rstrip(".")) from error
    if said.envelope != about.digest:
        raise invalid(name, "it is about another envelope")


def check_all(
    container: Container, statements: Mapping[str, CheckedStatement], extract: Extract
) -> list[str]:
    """Runs steps 8 to 11; returns notes.

    Raises:
        EvidenceInvalidError: Of the first that does not hold.
    """
    envelope = statements["envelope"]
    if not isinstance(envelope.value, Envelope):
        raise invalid("envelope", "it is no envelope")
    check_sender(envelope, envelope.value, extract, statements.get(SUBAGENCIES))
    notes = []
    if "receipt" in statements:
        check_receipt(statements["receipt"], envelope)
    else:
        notes.append("there is no receipt: nothing shows that the document arrived")
    if NO_RECEIPT in statements:
        notes.append(check_no_receipt(statements[NO_RECEIPT], envelope))
    notes += check_parts(container, envelope.value)
    for folder, statement in statements.items():
        if not folder.startswith("status-"):
            continue
        if folder.endswith(_RECEIPT):
            answered = statements.get(folder.removesuffix(_RECEIPT))
            if answered is None:
                raise invalid(folder, "its envelope is missing")
            check_receipt(statement, answered)
        else:
            check_status(container, statement, envelope)
    return notes
