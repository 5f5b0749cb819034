"""Official numbers for the office: given to what it sends, reserved, listed, given up."""

import secrets

from edoccore.errors import RequestInvalidError
from edoccore.signing.seal import SALT_BYTES
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.office import Admitted, decoded_fields
from edocnode.domain.official_numbers import (
    Book,
    GivenNumber,
    NumberEntry,
    NumberState,
    Series,
    Void,
    check_giving_up,
    check_numbers_here,
    check_reservation,
    day_in_viet_nam,
    number_request,
    void_effect,
)
from edocnode.rpc.office_admission import OfficeParts
from edocnode.rpc.office_messages import limit_from, timestamp
from edocnode.rpc.retrying import check_actor


class NumberDesk:
    """Answers what is asked about official numbers."""

    def __init__(self, parts: OfficeParts) -> None:
        """Takes what it works with."""
        self._parts = parts

    async def give(self, admitted: Admitted, fields: bytes) -> GivenNumber | None:
        """The number of a document; None when it does not ask for one.

        Raises:
            RequestInvalidError: Its agency does not number here, or it has a number.
            DecisionConflictError: The number of this request was given up.
        """
        header = admitted.header
        if not header.number_here:
            return None
        request = number_request(
            decoded_fields(fields),
            self._parts.numbering,
            sender=admitted.sender,
            request_id=header.request_id,
            now=admitted.created,
        )
        return await self._parts.book.take(request, admitted.created)

    async def reserve(
        self, request: messages.ReserveNumbersRequest
    ) -> messages.ReserveNumbersResponse:
        """Gives numbers for paper."""
        check_actor(request.actor)
        series = self._series(request.series)
        check_reservation(request.count, request.purpose, series.year)
        check_numbers_here(self._parts.numbering, series.agency)
        numbers = await self._parts.book.reserve(
            series,
            request.count,
            note=request.purpose.strip(),
            actor=request.actor,
            at=self._parts.clock(),
        )
        return messages.ReserveNumbersResponse(series=_series_message(series), numbers=numbers)

    async def list(self, request: messages.ListNumbersRequest) -> messages.ListNumbersResponse:
        """Lists what was given."""
        series = self._series(request.series)
        limit = limit_from(request.limit)
        found = await self._parts.book.numbers(
            series.book,
            series.agency,
            series.year,
            limit=limit + 1,
            before=request.after,
        )
        shown = found[:limit]
        return messages.ListNumbersResponse(
            numbers=[_entry_message(entry) for entry in shown],
            next=shown[-1].position if len(found) > limit else 0,
        )

    async def void(self, request: messages.VoidNumberRequest) -> messages.VoidNumberResponse:
        """Gives a number up."""
        check_actor(request.actor)
        check_giving_up(request.reason)
        parts = self._parts
        line = Void(
            series=self._series(request.series),
            number=request.number,
            reason=request.reason.strip(),
            actor=request.actor,
            at=parts.clock(),
        )
        effect = void_effect(line, network=parts.directory.current.network, agency=parts.agency)
        changed = await parts.book.give_up(line, secrets.token_bytes(SALT_BYTES), effect)
        parts.sealer.wake()
        return messages.VoidNumberResponse(repeated_request=not changed)

    def _series(self, message: messages.NumberSeries) -> Series:
        """The series that a message names: of the node's own agency and this year by default."""
        parts = self._parts
        agency = parts.directory.current.agency(message.agency or parts.agency)
        if agency.owner != parts.agency:
            raise RequestInvalidError(f"This node does not serve {agency.code}.")
        return Series(
            book=Book.IN if message.arrivals else Book.OUT,
            agency=agency.code,
            name=message.name,
            year=message.year or day_in_viet_nam(parts.clock()).year,
        )


def _series_message(series: Series) -> messages.NumberSeries:
    return messages.NumberSeries(
        agency=series.agency,
        year=series.year,
        name=series.name,
        arrivals=series.book is Book.IN,
    )


_STATES = {
    NumberState.TAKEN: messages.NUMBER_STATE_TAKEN,
    NumberState.USED: messages.NUMBER_STATE_USED,
    NumberState.PAPER: messages.NUMBER_STATE_PAPER,
    NumberState.VOID: messages.NUMBER_STATE_VOID,
}


def _entry_message(entry: NumberEntry) -> messages.NumberEntry:
    return messages.NumberEntry(
        series=_series_message(entry.series),
        number=entry.number,
        state=_STATES[entry.state],
        note=entry.note,
        actor=entry.actor,
        document_id=entry.document_id or b"",
        take_time=timestamp(entry.taken_at),
    )
