"""Messages of statistics, from the node's own types and, for command lines, to plain values."""

from datetime import date, timedelta

from google.protobuf.duration_pb2 import Duration

from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.group_by import GroupBy
from edocnode.domain.late import LateKind
from edocnode.domain.reporting import Month
from edocnode.domain.savings import saved_vnd
from edocnode.domain.statistics import FIGURES, Figures, StatisticsRequest
from edocnode.rpc.client_values import Json, node_errors
from edocnode.rpc.office_client import OfficeClient
from edocnode.rpc.overview import OverviewParts

NATION_SCHEMA = "edoc.nation/v1"
STATISTICS_SCHEMA = "edoc.statistics/v1"
CALL_TIMEOUT_S = 60.0  # a node that was never asked before may have years to count
MAX_DAYS = 366 * 20
_ASSUMED = ("pages", "page_vnd", "postage_vnd", "handling_min", "minute_vnd")


async def statistics_response(
    parts: OverviewParts, message: messages.GetStatisticsRequest
) -> messages.GetStatisticsResponse:
    """Counts what is not counted yet, then sums up.

    Raises:
        RequestInvalidError: A day is none, or the last comes before the first.
    """
    wanted = _request(message)
    if message.nation:
        return await _nation_response(parts, wanted)
    found, complete = await parts.counter.statistics(wanted)
    overdue = (await parts.late.counts())[LateKind.OVERDUE]
    return messages.GetStatisticsResponse(
        total=_figures(found.total),
        groups=[
            messages.GroupFigures(key=key, figures=_figures(figures))
            for key, figures in found.groups.items()
        ],
        refusals=[
            messages.Refusal(code=code, count=count) for code, count in found.refusals.items()
        ],
        accepting_median=_duration(found.accepting),
        finishing_median=_duration(found.finishing),
        complete=complete,
        overdue=overdue,
        confirmed=found.confirmed,
        savings=_savings(parts, found.total),
    )


async def _nation_response(
    parts: OverviewParts, wanted: StatisticsRequest
) -> messages.GetStatisticsResponse:
    month = Month(wanted.first.year, wanted.first.month)
    if (wanted.first, wanted.last) != (month.first, month.last):
        raise RequestInvalidError(
            "The nation's statistics are of a whole month.", hint="Name its first and last day."
        )
    nation, complete = await parts.counter.nation(month)
    return messages.GetStatisticsResponse(
        total=_figures(nation.total),
        groups=[
            messages.GroupFigures(key=code, figures=_figures(figures))
            for code, figures in nation.reported.items()
        ],
        complete=complete,
        missing=nation.missing,
        savings=_savings(parts, nation.total),
    )


def read_nation(office: OfficeClient, first: date, last: date) -> Json:
    """Asks a node for the sums of all agencies, ``edoc.nation/v1``.

    Raises:
        RequestInvalidError: The days are not a whole month.
        EdocError: As the node says.
    """
    request = messages.GetStatisticsRequest(
        first_day=first.isoformat(), last_day=last.isoformat(), nation=True
    )
    with node_errors():
        answer = office.stub.GetStatistics(request, timeout=CALL_TIMEOUT_S)
    return {
        "schema": NATION_SCHEMA,
        "month": first.isoformat()[:7],
        "complete": answer.complete,
        "total": _plain(answer.total),
        "agencies": {item.key: _plain(item.figures) for item in answer.groups},
        "missing": list(answer.missing),
    }


def read_statistics(
    office: OfficeClient, *, first: date, last: date, agency: str, by: GroupBy | None
) -> Json:
    """Asks a node for figures, ``edoc.statistics/v1``.

    Raises:
        EdocError: As the node says.
    """
    request = messages.GetStatisticsRequest(
        first_day=first.isoformat(),
        last_day=last.isoformat(),
        agency=agency,
        by=messages.STATISTICS_GROUP_UNSPECIFIED if by is None else _group(by),
    )
    with node_errors():
        answer = office.stub.GetStatistics(request, timeout=CALL_TIMEOUT_S)
    return {
        "schema": STATISTICS_SCHEMA,
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "agency": agency,
        "complete": answer.complete,
        "total": _plain(answer.total),
        "groups": {item.key: _plain(item.figures) for item in answer.groups},
        "accepting_median_s": _seconds(answer, "accepting_median"),
        "finishing_median_s": _seconds(answer, "finishing_median"),
        "refusals": {item.code: item.count for item in answer.refusals},
        "overdue_now": answer.overdue,
        "confirmed": answer.confirmed,
        "savings": {
            "saved_vnd": answer.savings.saved_vnd,
            **{name: getattr(answer.savings, name) for name in _ASSUMED},
        },
    }


def _request(message: messages.GetStatisticsRequest) -> StatisticsRequest:
    try:
        first, last = map(date.fromisoformat, (message.first_day, message.last_day))
    except ValueError as error:
        raise RequestInvalidError(
            "Statistics need their first and last day.", hint="Write them as YYYY-MM-DD."
        ) from error
    if not 0 <= (last - first).days <= MAX_DAYS:
        raise RequestInvalidError(
            f"From {first} to {last} is no period of statistics.", hint="Turn the days around."
        )
    by = next((group for group in GroupBy if _group(group) == message.by), None)
    return StatisticsRequest(first=first, last=last, agency=message.agency, by=by)


def _group(by: GroupBy) -> "messages.StatisticsGroup.ValueType":
    return messages.StatisticsGroup.Value(f"STATISTICS_GROUP_{by.name}")


def _figures(figures: Figures) -> messages.Figures:
    return messages.Figures(**{name: getattr(figures, name) for name in FIGURES})


def _savings(parts: OverviewParts, total: Figures) -> messages.Savings:
    assumed = parts.savings
    return messages.Savings(
        saved_vnd=saved_vnd(total, assumed),
        **{name: getattr(assumed, name) for name in _ASSUMED},
    )


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    message = Duration()
    message.FromTimedelta(length)
    return message


def _plain(figures: messages.Figures) -> Json:
    return {name: getattr(figures, name) for name in FIGURES}


def _seconds(answer: messages.GetStatisticsResponse, name: str) -> float | None:
    if not answer.HasField(name):  # type: ignore[arg-type]  # generated stubs list literal names
        return None
    length: timedelta = getattr(answer, name).ToTimedelta()
    return round(length.total_seconds(), 1)
