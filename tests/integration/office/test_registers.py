"""Registers as files that a spreadsheet opens, over the real socket and by the command."""

import asyncio
import csv
import json
import re
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import RequestInvalidError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.cli.registering import cells, write_csv, write_xlsx
from edocnode.cli.wording import plain
from tests.integration.office.support import Refused, submit, text
from tests.support.nodes import TestNode, make_pair, running, until

Pair = tuple[TestNode, TestNode]
TODAY = (datetime.now(UTC) + timedelta(hours=7)).date()
FIELDS = {
    "subject": '=HYPERLINK("http://x","Về việc báo cáo")',
    "number": "28",
    "notation": "QĐ-UBND",
    "document_type": "",
    "issued_date": "2026-11-20",
    "due_date": "2026-12-01",
    "signer": {"authority": "KT.", "position": "Phó Chủ tịch", "full_name": "Trần Thị Lan"},
    "to_places": ["Như trên", "Lưu: VT"],
    "issued_count": 12,
    "issuer": {"code": "H29", "name": "Ủy ban nhân dân tỉnh Hà Tĩnh"},
}


async def command(node: TestNode, *words: str) -> tuple[int, str, str]:
    program = str(Path(sys.executable).with_name("edocnode"))
    run = await asyncio.create_subprocess_exec(
        program,
        "--lang",
        "en",
        "--data",
        str(node.data),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await run.communicate()
    assert run.returncode is not None
    return run.returncode, out.decode(), error.decode()


def read_csv(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def read_cells(path: Path) -> str:
    with zipfile.ZipFile(path) as book:
        return book.read("xl/worksheets/sheet1.xml").decode()


async def test_both_registers_have_what_was_sent_accepted_and_assigned(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender, recipient):
        fields = {key: value for key, value in FIELDS.items() if value}
        sent = await submit(sender, b"one", fields=fields)
        await until(recipient.inbox)
        await until(lambda: sender.state(sent.deliveries[0].message_id) == "delivered")
        async with recipient.office() as stub:
            for step in (
                {"accept": office.Accept()},
                {"assign": office.Assign(assignee="Phòng Tổng hợp")},
            ):
                await stub.Decide(
                    office.DecideRequest(id=text(sent.document_id), actor="Lan", **step)
                )
        days = ("--from", TODAY.isoformat(), "--to", TODAY.isoformat())
        out, incoming = tmp_path / "đi.csv", tmp_path / "đến.csv"
        assert (await command(sender, "register", "outgoing", *days, "--out", str(out)))[0] == 0
        (line,) = read_csv(out)
        assert line["Số, ký hiệu văn bản"] == "28/QĐ-UBND"
        assert line["Ngày, tháng văn bản"] == "20/11/2026"
        assert line["Người ký"] == "KT., Phó Chủ tịch, Trần Thị Lan"
        assert line["Nơi nhận văn bản"] == "Như trên; Lưu: VT"
        assert line["Số lượng bản"] == "12"
        assert line["Tên loại và trích yếu nội dung văn bản"].startswith("'=HYPERLINK")
        words = ("register", "incoming", *days, "--out", str(incoming), "--json")
        code, told, _ = await command(recipient, *words)
        assert (code, json.loads(told)["lines"]) == (0, 1)
        (line,) = read_csv(incoming)
        assert line["Ngày đến"] == TODAY.strftime("%d/%m/%Y")
        assert line["Số đến"] == ""
        assert line["Tác giả"] == "Ủy ban nhân dân tỉnh Hà Tĩnh"
        assert line["Đơn vị hoặc người nhận"] == "Phòng Tổng hợp"
        assert line["Ngày chuyển"] == TODAY.strftime("%d/%m/%Y")
        assert line["Ghi chú"] == "Hạn xử lý 01/12/2026"
        assert (await command(recipient, *words))[0] == 6
        assert (await command(recipient, *words, "--force"))[0] == 0
        book = tmp_path / "đến.xlsx"
        code, _, error = await command(recipient, "register", "incoming", *days, "--out", str(book))
        assert (code, error) == (0, "")
        assert "=HYPERLINK" in read_cells(book)
        assert "<f>" not in read_cells(book)
        other = ("--from", "2026-01-01", "--to", "2026-01-02", "--out", str(tmp_path / "x.csv"))
        assert (await command(recipient, "register", "incoming", *other))[1].endswith("0 lines.\n")
        agency = (*days, "--out", str(tmp_path / "y.csv"), "--agency", "G01.22")
        assert (await command(recipient, "register", "incoming", *agency))[1].endswith("0 lines.\n")
        assert (await command(sender, "register", "outgoing", *days, "--out", "x.doc"))[0] == 2
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]  # noqa: ASYNC240
    assert left == []


async def test_days_that_are_none_or_turned_around_are_refused(alone: TestNode) -> None:
    async with alone.office() as stub:
        for first, last in [("2026-13-01", "2026-12-01"), ("2026-12-02", "2026-12-01")]:
            with Refused(RequestInvalidError):
                request = office.GetRegisterRequest(first_day=first, last_day=last)
                async for _ in stub.GetRegister(request):
                    pass


async def test_register_goes_on_over_many_pages_and_leaves_statuses_out(
    tmp_path: Path,
) -> None:
    _, sender, _ = make_pair(tmp_path)
    async with running(sender):
        await submit(sender, b"one")
    copies = """
        WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1801)
        INSERT INTO document
        SELECT i, document_id, NULL, NULL, sender, urgency,
            CASE WHEN i % 2 THEN 'status' ELSE operation END, about,
            created_at + (i - 901) * 86400000, expires_at, complete, listing, parts, inline
        FROM document, n WHERE id = 1
    """
    sender.write(copies, "UPDATE document SET created_at = created_at - 900 * 86400000 WHERE id=1")
    async with running(sender), sender.office() as stub:
        first, last = TODAY - timedelta(days=700), TODAY + timedelta(days=700)
        request = office.GetRegisterRequest(first_day=str(first), last_day=str(last))
        found = [entry async for piece in stub.GetRegister(request) for entry in piece.entries]
    days = [(entry.time.ToDatetime(UTC) + timedelta(hours=7)).date() for entry in found]
    assert days == sorted(days)
    assert (days[0], days[-1], len(days)) == (
        first + timedelta(days=1),
        last - timedelta(days=1),
        700,
    )


def line(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(
        ("document_type", "subject", "number", "notation", "issued_date", "due_date"), ""
    )
    values |= {"state": "received", "reason": "", "recipients": [], "more_recipients": 0}
    values |= {"copies": 0, "arrival_number": 0, "at": None, "assigned_at": None}
    return values | changes


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_taken_for_a_formula(begin: str, tmp_path: Path) -> None:
    row = cells(line(subject=begin), ["type_and_subject"])
    write_csv(tmp_path / "a.csv", ["Trích yếu"], [row])
    write_csv(tmp_path / "b.csv", ["Trích yếu"], [[begin]])
    for name in ("a.csv", "b.csv"):
        (read,) = read_csv(tmp_path / name)
        assert not read["Trích yếu"].startswith(("=", "+", "-", "@", "\t", "\r"))
    write_xlsx(tmp_path / "a.xlsx", ["Trích yếu"], [row])
    assert "<f>" not in read_cells(tmp_path / "a.xlsx")


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1"])
@pytest.mark.parametrize("column", ["subject", "notation", "sender", "recipients", "assignee"])
def test_no_text_of_another_agency_is_run_in_any_column(
    column: str, begin: str, tmp_path: Path
) -> None:
    dangers = ("=", "+", "-", "@", "\t", "\r", "＝")
    text: Any = [begin] if column == "recipients" else begin
    whole = line(sender="", assignee="") | {column: text}
    fields = ["type_and_subject", "official_number", "sender", "recipients", "assignee"]
    row = cells(whole, fields)
    write_csv(tmp_path / "a.csv", fields, [row])
    (read,) = read_csv(tmp_path / "a.csv")
    assert any(read.values())
    assert not [cell for cell in read.values() if cell.lstrip().startswith(dangers)]
    write_xlsx(tmp_path / "a.xlsx", fields, [row])
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert sheet.count('t="s"') + sheet.count('t="inlineStr"') == len(re.findall("<c ", sheet))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_taken_for_a_formula_however_a_spreadsheet_separates_them(
    separator: str, tmp_path: Path
) -> None:
    subjects = ["a;=cmd|x", 'a";=1', "Phụ lục; -1", "a;\t@SUM(A1)", "a,=1"]
    write_csv(
        tmp_path / "a.csv", ["Số", "Trích yếu"], [["1", plain(subject)] for subject in subjects]
    )
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        found = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
    assert not [cell for cell in found if cell.lstrip().startswith(("=", "+", "-", "@"))]


def test_recipients_that_are_left_out_are_counted() -> None:
    (shown,) = cells(line(recipients=["G01", "G02"], more_recipients=98), ["recipients"])
    assert shown == "G01; G02; và 98 nơi nhận khác"
