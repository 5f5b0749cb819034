"""Figures that an office asks for, over the real socket and by the command."""

import csv
import io
import json
import re
from datetime import date
from pathlib import Path

import pytest

from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.cli.counting import period
from tests.integration.office.support import Refused, submit, text
from tests.integration.office.test_registers import TODAY, command
from tests.support.nodes import TestNode, make_pair, running, until

FIELDS = {"subject": "Về việc báo cáo", "document_type": "QĐ", "paper_also_sent": True}


async def test_figures_of_both_sides_tell_what_was_sent_accepted_and_finished(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        sent = await submit(sender, b"one", fields=FIELDS)
        await submit(sender, b"two", request_id="r-2")
        await until(lambda: recipient.inbox() == 2)
        async with recipient.office() as stub:
            for step in ({"accept": office.Accept()}, {"finish": office.Finish()}):
                await stub.Decide(
                    office.DecideRequest(id=text(sent.document_id), actor="Lan", **step)
                )
        code, told, error = await command(sender, "stats", "--json")
        assert (code, error) == (0, "")
        total = json.loads(told)["total"]
        assert (total["sent_documents"], total["sent"], total["paper"]) == (2, 2, 1)
        assert (total["sent_on_time"], total["received"]) == (2, 0)
        assert json.loads(told)["savings"]["saved_vnd"] == 19_500
        _, told, _ = await command(recipient, "stats", "--by", "type", "--json")
        found = json.loads(told)
        assert (found["total"]["received"], found["total"]["accepted"]) == (2, 1)
        assert {key: each["received"] for key, each in found["groups"].items()} == {
            "-": 1,
            "QĐ": 1,
        }
        assert found["accepting_median_s"] is not None
        assert found["complete"]
        _, told, _ = await command(recipient, "stats", "--by", "peer")
        assert re.search(r"^received +2; ", told, re.MULTILINE)
        assert re.search(r"^received and signed +0 \(0.0%\) by person and", told, re.MULTILINE)
        assert re.search(r"^duplicates +0 deliveries came again", told, re.MULTILINE)
        assert "H29" in told
        days = ("--from", TODAY.isoformat(), "--to", TODAY.isoformat())
        _, told, _ = await command(recipient, "stats", *days, "--by", "day", "--csv")
        (row,) = csv.DictReader(io.StringIO(told))
        assert (row["day"], row["received"], row["finished"]) == (TODAY.isoformat(), "2", "1")
        _, told, _ = await command(sender, "stats", "--month", "2020-01")
        assert re.search(r"^sent +0 documents to 0 recipients", told, re.MULTILINE)
        assert (await command(sender, "stats", "--month", "2020-13"))[0] == 2


async def test_period_that_is_none_is_refused(alone: TestNode) -> None:
    async with alone.office() as stub:
        for first, last in [("", ""), ("2026-12-02", "2026-12-01")]:
            with Refused(RequestInvalidError):
                await stub.GetStatistics(
                    office.GetStatisticsRequest(first_day=first, last_day=last)
                )


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (("", "", "", ""), ("2026-11-01", "2026-11-30")),
        (("2026-12", "", "", ""), ("2026-12-01", "2026-12-31")),
        (("2024-02", "", "", ""), ("2024-02-01", "2024-02-29")),
        (("", "2026-Q4", "", ""), ("2026-10-01", "2026-12-31")),
        (("", "2026-Q1", "", ""), ("2026-01-01", "2026-03-31")),
        (("", "", "2026-11-03", "2026-11-04"), ("2026-11-03", "2026-11-04")),
    ],
)
def test_months_and_quarters_are_whole(
    words: tuple[str, str, str, str], days: tuple[str, str]
) -> None:
    first, last = period(*words, today=date(2026, 11, 26))
    assert (first.isoformat(), last.isoformat()) == days


@pytest.mark.parametrize(
    "words",
    [
        ("2026-11", "2026-Q4", "", ""),
        ("", "", "2026-11-01", ""),
        ("", "2026-Q5", "", ""),
        ("2026-1", "", "", ""),
        ("", "", "soon", "later"),
    ],
)
def test_period_that_is_none_or_several_is_told(words: tuple[str, str, str, str]) -> None:
    with pytest.raises(RequestInvalidError):
        period(*words, today=date(2026, 11, 26))
