"""Calls about official numbers, part of ``office_client``."""

from dataclasses import dataclass

from edoccore.signing.statements import uuid_text
from edockit.console import local_time
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.rpc.client_values import CALL_TIMEOUT_S, Json, enum_name, node_errors
from edocnode.rpc.office_messages import moment_from

NUMBERS_SCHEMA = "edoc.numbers/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSeries:
    """A sequence of official numbers; ``year`` 0: this year, ``agency`` empty: the node's own."""

    agency: str = ""
    year: int = 0
    name: str = ""
    arrivals: bool = False


class NumberCalls:
    """The calls about official numbers."""

    def __init__(self, stub: services.OfficeServiceStub) -> None:
        """Takes the stub of an open channel."""
        self.stub = stub

    def reserve_numbers(
        self, series: NumberSeries, *, count: int, purpose: str, actor: str
    ) -> Json:
        """Gives numbers for paper, ``edoc.numbers/v1``.

        Raises:
            RequestInvalidError: The node does not number for the agency.
        """
        request = messages.ReserveNumbersRequest(
            series=_number_series(series), count=count, purpose=purpose, actor=actor
        )
        with node_errors():
            answer = self.stub.ReserveNumbers(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": NUMBERS_SCHEMA,
            **_series_json(answer.series),
            "numbers": list(answer.numbers),
        }

    def numbers(self, series: NumberSeries, *, limit: int, after: int) -> Json:
        """Given numbers, newest first, ``edoc.numbers/v1``."""
        request = messages.ListNumbersRequest(
            series=_number_series(series), limit=limit, after=after
        )
        with node_errors():
            answer = self.stub.ListNumbers(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": NUMBERS_SCHEMA,
            "numbers": [_number_json(item) for item in answer.numbers],
            "next": answer.next or None,
        }

    def void_number(self, series: NumberSeries, number: int, *, reason: str, actor: str) -> Json:
        """Gives a number up, ``edoc.numbers/v1``.

        Raises:
            DocumentUnknownError: It was never given.
            DecisionConflictError: A document has it.
        """
        request = messages.VoidNumberRequest(
            series=_number_series(series), number=number, reason=reason, actor=actor
        )
        with node_errors():
            answer = self.stub.VoidNumber(request, timeout=CALL_TIMEOUT_S)
        return {"schema": NUMBERS_SCHEMA, "void": number, "repeated": answer.repeated_request}


def _number_series(series: NumberSeries) -> messages.NumberSeries:
    return messages.NumberSeries(
        agency=series.agency, year=series.year, name=series.name, arrivals=series.arrivals
    )


def _series_json(series: messages.NumberSeries) -> Json:
    return {
        "book": "in" if series.arrivals else "out",
        "agency": series.agency,
        "series": series.name,
        "year": series.year,
    }


def _number_json(item: messages.NumberEntry) -> Json:
    return {
        **_series_json(item.series),
        "number": item.number,
        "state": enum_name(messages.NumberState, "NUMBER_STATE", item.state),
        "note": item.note,
        "actor": item.actor,
        "document_id": uuid_text(item.document_id) if item.document_id else None,
        "taken_at": local_time(moment_from(item.take_time)),
    }
