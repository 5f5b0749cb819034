"""Submissions that change an earlier document: which one it is, and who gets the later one."""

from msgspec.structs import replace

from edoccore.errors import DecisionConflictError, RequestInvalidError
from edoccore.signing.statements import Operation, uuid_text
from edocnode.domain.encryption import check_still_encrypted
from edocnode.domain.model import DocumentId
from edocnode.domain.office import SubmitHeader
from edocnode.domain.office_model import LinkKind, OfficeStore, OutboxEntry, PageRequest
from edocnode.domain.ports import Submissions

_CHANGES = (Operation.UPDATE, Operation.REPLACE)
_PAGE = 1000  # deliveries


async def resolved(
    office: OfficeStore, submissions: Submissions, header: SubmitHeader
) -> tuple[SubmitHeader, DocumentId | None]:
    """Looks the earlier document up: its whole id, and its recipients when none were named.

    Returns:
        The header, and the id that the submission keeps when it is an update.

    Raises:
        RequestInvalidError: The operation and the earlier document do not belong together, or that
            was encrypted and this is not to be.
        DocumentUnknownError: The earlier document was not sent from here.
        DecisionConflictError: It was taken back or replaced, unless by this same request.
    """
    if header.operation not in _CHANGES:
        if header.earlier:
            raise RequestInvalidError("Only an update or a replacement names an earlier document.")
        return header, None
    found = await office.find(header.earlier)
    sent = found.sent_from_here()
    if await submissions.handed_in(header.request_id) is None:
        _check_open(sent)
    earlier = sent.document
    versions = [earlier, *(later.document for later in found.updates)]
    parts = [part for version in versions for part in version.parts]
    check_still_encrypted(parts, encrypt=header.encrypt)
    recipients = header.recipients or await _recipients(office, sent)
    whole = replace(
        header,
        earlier=uuid_text(earlier.document_id),
        sender=header.sender or earlier.sender,
        recipients=recipients,
    )
    if whole.sender != earlier.sender:
        raise RequestInvalidError(f"The document was sent from {earlier.sender}, which changes it.")
    return whole, earlier.document_id if header.operation is Operation.UPDATE else None


async def _recipients(office: OfficeStore, sent: OutboxEntry) -> tuple[str, ...]:
    codes: list[str] = []
    page = await office.deliveries(sent, PageRequest(limit=_PAGE))
    codes += [item.recipient for item in page.entries]
    while page.next:
        page = await office.deliveries(sent, PageRequest(limit=_PAGE, after=page.next))
        codes += [item.recipient for item in page.entries]
    return tuple(codes)


def _check_open(sent: OutboxEntry) -> None:
    """Says early what the transaction that keeps the submission looks at once more."""
    document_id = uuid_text(sent.document.document_id)
    if sent.taken_back is not None:
        raise DecisionConflictError(
            f"Document {document_id} was taken back and cannot be changed any more.",
            hint="Send a new document: edocnode send",
            document_id=document_id,
        )
    for link in sent.links:
        if link.kind is LinkKind.REPLACED_BY:
            later = uuid_text(link.document_id)
            raise DecisionConflictError(
                f"Document {document_id} was replaced by {later}; only that one can be changed.",
                hint=f"See: edocnode show {later}",
                document_id=document_id,
            )
