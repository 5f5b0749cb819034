"""Messages of registers, from the node's own types and, for command lines, to plain values."""

from collections.abc import AsyncIterator, Iterator
from datetime import date

from edoccore.errors import RequestInvalidError
from edoccore.signing.statements import uuid_text
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.registers import RegisterEntry, RegisterRequest, RegisterStore
from edocnode.rpc.client_values import Json, node_errors
from edocnode.rpc.office_client import OfficeClient
from edocnode.rpc.office_messages import (
    PAGE_BYTES,
    moment_from,
    optional_timestamp,
    timestamp,
)

MAX_DAYS = 366 * 20
_TEXTS = (
    *("agency", "peer", "author", "number", "notation", "issued_date", "due_date"),
    *("document_type", "subject", "signer", "assignee", "state", "reason"),
)


async def register_pieces(
    store: RegisterStore, message: messages.GetRegisterRequest
) -> AsyncIterator[messages.GetRegisterResponse]:
    """A register in messages of bounded size.

    Raises:
        RequestInvalidError: A day is none, or the last comes before the first.
    """
    wanted, after = _request(message), 0
    while True:
        page = await store.register_page(wanted, after)
        piece, size = messages.GetRegisterResponse(), 0
        for entry in map(_entry, page.entries):
            size += entry.ByteSize()
            if size > PAGE_BYTES:
                yield piece
                piece, size = messages.GetRegisterResponse(), entry.ByteSize()
            piece.entries.append(entry)
        if piece.entries:
            yield piece
        if not page.next:
            return
        after = page.next


def read_register(
    office: OfficeClient, *, incoming: bool, first: date, last: date, agency: str
) -> Iterator[Json]:
    """Asks a node for a register; its lines, one by one.

    Raises:
        EdocError: As the node says; also while iterating.
    """
    request = messages.GetRegisterRequest(
        incoming=incoming, first_day=first.isoformat(), last_day=last.isoformat(), agency=agency
    )
    with node_errors():
        for piece in office.stub.GetRegister(request):
            yield from map(_plain, piece.entries)


def _request(message: messages.GetRegisterRequest) -> RegisterRequest:
    try:
        first, last = map(date.fromisoformat, (message.first_day, message.last_day))
    except ValueError as error:
        raise RequestInvalidError(
            "A register needs its first and last day.", hint="Write them as YYYY-MM-DD."
        ) from error
    if not 0 <= (last - first).days <= MAX_DAYS:
        raise RequestInvalidError(
            f"From {first} to {last} is no period of a register.", hint="Turn the days around."
        )
    return RegisterRequest(incoming=message.incoming, first=first, last=last, agency=message.agency)


def _entry(entry: RegisterEntry) -> messages.RegisterEntry:
    return messages.RegisterEntry(
        document_id=entry.document_id,
        time=timestamp(entry.at),
        recipients=entry.recipients,
        more_recipients=entry.more_recipients,
        assign_time=optional_timestamp(entry.assigned_at),
        copies=entry.copies,
        arrival_number=entry.arrival_number,
        **{name: getattr(entry, name) for name in _TEXTS},
    )


def _plain(entry: messages.RegisterEntry) -> Json:
    """The fields of a line; moments as such."""
    return {
        "document_id": uuid_text(entry.document_id),
        "at": moment_from(entry.time),
        "recipients": list(entry.recipients),
        "more_recipients": entry.more_recipients,
        "assigned_at": moment_from(entry.assign_time) if entry.HasField("assign_time") else None,
        "copies": entry.copies,
        "arrival_number": entry.arrival_number,
        **{name: getattr(entry, name) for name in _TEXTS},
    }
