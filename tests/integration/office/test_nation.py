"""Nodes report their month to the agency that sums the nation, and it says who has not."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.app.working_days import WorkingDays
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.reporting import due_reports
from edocnode.domain.statistics import FIGURES
from tests.integration.office.support import Refused
from tests.integration.office.test_late import Clock
from tests.integration.office.test_registers import command
from tests.support.nodes import TestNode, make_pair, running, until


def clock_of(node: TestNode) -> Clock:
    """The real clock; on the first days of a month far enough ahead for a statement to be due."""
    now = datetime.now(UTC)
    calendar = WorkingDays(node.settings, node.data).rules(now).calendar
    due = due_reports(now, calendar, "H29")
    return Clock() if due else Clock(timedelta(days=12))


async def nation(node: TestNode, first: date, last: date) -> office.GetStatisticsResponse:
    async with node.office() as stub:
        return await stub.GetStatistics(
            office.GetStatisticsRequest(first_day=str(first), last_day=str(last), nation=True)
        )


async def test_statements_are_sent_once_and_summed_with_who_is_missing(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path)
    clock = sender.clock = recipient.clock = clock_of(sender)
    last = day_in_viet_nam(clock()).replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    async with running(sender):
        pass
    known = {"sent_documents": 5, "sent": 7, "sent_signed": 2, "repeated": 3, "alike": 1}
    counts = {**dict.fromkeys(FIGURES, 0), **known}
    names = ", ".join(["day", "direction", "agency", "peer", "document_type", "lane", *counts])
    values = ", ".join(map(str, counts.values()))
    sender.write(
        f"INSERT INTO daily ({names}) VALUES ('{first}', 'out', 'H29', 'G01', '-', 3, {values})"
    )
    async with running(recipient):
        assert list((await nation(recipient, first, last)).missing) == ["H29"]
        values = sender.settings.model_dump() | {"statistics_to": "G01"}
        sender.settings = type(sender.settings).model_validate(values)
        async with running(sender):
            await until(lambda: recipient.inbox() == 2, within_s=60)
            found = await nation(recipient, first, last)
            assert list(found.missing) == []
            assert [group.key for group in found.groups] == ["G01", "H29"]
            assert {name: getattr(found.total, name) for name in known} == known
            code, told, _ = await command(
                recipient, "stats", "--nation", "--month", first.isoformat()[:7]
            )
            assert code == 0
            assert f"Reported for {first.isoformat()[:7]}: 2 agencies." in told
        forged = "UPDATE incoming SET signer = 'H30'"
        async with running(sender):
            await until(lambda: sender.count("SELECT count(*) FROM delivery_envelope") == 2)
            assert recipient.inbox() == 2
        recipient.write(forged)
        assert list((await nation(recipient, first, last)).missing) == ["H29"]
        with Refused(RequestInvalidError):
            await nation(recipient, first, last - timedelta(days=1))
