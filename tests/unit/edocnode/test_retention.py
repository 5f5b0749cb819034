"""How long documents are kept."""

from datetime import UTC, datetime

import pytest

from edocnode.domain.retention import RetentionRules

AT = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("years", "document_type", "due"),
    [
        ({}, "QĐ", None),
        ({"QĐ": 10}, "CV", None),
        ({"QĐ": 4}, "QĐ", datetime(2028, 2, 29, 8, 30, tzinfo=UTC)),
        ({"công văn": 1}, "Công văn", datetime(2025, 3, 1, 8, 30, tzinfo=UTC)),
        ({"QĐ": 4, "other": 1}, "", datetime(2025, 3, 1, 8, 30, tzinfo=UTC)),
    ],
)
def test_time_of_a_document_counts_from_its_arrival_by_its_type(
    years: dict[str, int], document_type: str, due: datetime | None
) -> None:
    assert RetentionRules(years).due_at(document_type, AT) == due
