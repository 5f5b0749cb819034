"""Inbox and outbox are looked through for words, agencies, types, numbers and days."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.office_model import PageRequest
from edocnode.domain.searching import Filters, number_spellings, search_words
from edocnode.storage.office import SqlOffice
from edocnode.storage.store import NodeStore
from tests.integration.storage.offices import NOW, Office, arrival, submission

LISTINGS: list[Mapping[str, str]] = [
    {
        "subject": "Quyết định về đường sắt Bắc Nam",
        "number": "5",
        "notation": "QĐ-UBND",
        "document_type": "QĐ",
        "due_date": "2026-12-05",
    },
    {"subject": "Báo cáo 100% kế hoạch_năm", "document_type": "Báo cáo", "due_date": "2027-01-01"},
    {"subject": "Công văn đường thủy", "number": "15", "notation": "UBND-VX"},
    {"subject": "Về quyết toán ngân sách"},
]
TO = ("G01", "G22", "G01", "G01")
URGENCIES = (Urgency.NORMAL, Urgency.KHAN, Urgency.NORMAL, Urgency.HOA_TOC)


@pytest.fixture
async def outbox(store: NodeStore, database: Database) -> SqlOffice:
    """Four documents sent an hour apart."""
    for place, listing in enumerate(LISTINGS):
        made = submission(to=[TO[place]], urgency=URGENCIES[place], at=NOW + place * HOUR)
        await store.submit(replace(made, listing=listing))
    return SqlOffice(database)


HOUR = timedelta(hours=1)


async def found(offices: SqlOffice, page: PageRequest | None = None, **wanted: Any) -> list[int]:
    """Places of the documents that are found, newest first."""
    given = page or PageRequest()
    listed = await offices.outbox(replace(given, filters=Filters(**wanted)))
    subjects = [listing["subject"] for listing in LISTINGS]
    return [subjects.index(entry.document.listing["subject"]) for entry in listed.entries]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("quyet dinh", [0]),
        ("ĐƯỜNG", [2, 0]),
        ("sắt đường bắc", [0]),
        ("quyết", [3, 0]),
        ("ubnd", [2, 0]),
        ("100%", [1]),
        ("%", [1]),
        ("_", [1]),
        ("\\", []),
        ("hoach_nam", [1]),
        ("không có", []),
        ("", [3, 2, 1, 0]),
    ],
)
async def test_words_are_found_in_any_order_without_case_and_marks(
    outbox: SqlOffice, text: str, places: list[int]
) -> None:
    assert await found(outbox, words=search_words(text)) == places


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({"others": ("G22",)}, [1]),
        ({"others": ("G22", "G01")}, [3, 2, 1, 0]),
        ({"document_types": ("BC", "Báo cáo")}, [1]),
        ({"urgency": Urgency.HOA_TOC}, [3]),
        ({"since": NOW + HOUR}, [3, 2, 1]),
        ({"until": NOW + HOUR}, [0]),
        ({"since": NOW + HOUR, "until": NOW + 2 * HOUR}, [1]),
        ({"due_before": "2026-12-06"}, [0]),
        ({"due_before": "2026-12-05"}, []),
        ({"number": number_spellings("05")[0]}, [0]),
        ({"number": ("15",), "notation": "UBND-VX"}, [2]),
        ({"number": ("15",), "notation": "QĐ-UBND"}, []),
        ({"words": ("duong",), "others": ("G01",), "since": NOW + HOUR}, [2]),
    ],
    ids=str,
)
async def test_each_filter_holds_alone_and_with_others(
    outbox: SqlOffice, wanted: dict[str, Any], places: list[int]
) -> None:
    assert await found(outbox, **wanted) == places


async def test_filters_go_with_states_agencies_and_pages(outbox: SqlOffice) -> None:
    assert await found(outbox, PageRequest(state="queued"), words=("duong",)) == [2, 0]
    assert await found(outbox, PageRequest(state="held"), words=("duong",)) == []
    assert await found(outbox, PageRequest(agencies=("H29", "000.00.00.H29"))) == [3, 2, 1, 0]
    assert await found(outbox, PageRequest(agencies=("H29.5",))) == []
    wanted = Filters(words=("quyet",))
    first = await outbox.outbox(PageRequest(limit=1, filters=wanted))
    rest = await outbox.outbox(PageRequest(limit=1, filters=wanted, after=first.next))
    assert rest.next == ""
    assert [entry.document.listing["subject"] for entry in (*first.entries, *rest.entries)] == [
        LISTINGS[3]["subject"],
        LISTINGS[0]["subject"],
    ]


async def test_document_of_several_spellings_of_its_sender_is_found_in_order(
    store: NodeStore, database: Database
) -> None:
    for place, sender in enumerate(("H29", "000.00.00.H29", "H30", "H29")):
        await store.submit(submission(sender=sender, at=NOW + place * HOUR))
    page = await SqlOffice(database).outbox(PageRequest(agencies=("H29", "000.00.00.H29")))
    assert [entry.document.sender for entry in page.entries] == ["H29", "000.00.00.H29", "H29"]


async def test_received_documents_are_found_likewise(
    store: NodeStore, office: Office, peer: Office, database: Database
) -> None:
    await office.open()
    for place, listing in enumerate(LISTINGS):
        made = submission("G01", ["H29"], urgency=URGENCIES[place])
        [envelope] = peer.envelopes([made])
        came = arrival(envelope, made.inline)
        await store.keep([structs.replace(came, listing=listing, kept_at=NOW + place * HOUR)])
        await office.seal_all()
    offices = SqlOffice(database)
    subjects = [listing["subject"] for listing in LISTINGS]

    async def received(**wanted: Any) -> list[int]:
        page = await offices.inbox(PageRequest(agencies=("H29",), filters=Filters(**wanted)))
        return [subjects.index(entry.document.listing["subject"]) for entry in page.entries]

    assert await received(words=search_words("ĐƯỜNG")) == [2, 0]
    assert await received(words=search_words("quyết"), urgency=Urgency.HOA_TOC) == [3]
    assert await received(others=("G01", "000.00.00.G01"), number=("5", "05")) == [0]
    assert await received(others=("G22",)) == []
    assert await received(since=NOW + HOUR, until=NOW + 2 * HOUR) == [1]
    assert await received(document_types=("BC", "Báo cáo"), due_before="2027-02-01") == [1]
