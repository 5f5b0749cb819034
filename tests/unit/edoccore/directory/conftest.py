from datetime import UTC, datetime

import pytest

from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def nation() -> Nation:
    """A network with two agencies: H29 with a sub-agency and an old code, and G01."""
    nation = Nation.create(NOW)
    nation.add_agency(
        "H29",
        "Ủy ban nhân dân Thành phố Hồ Chí Minh",
        owns=("H29.5.1",),
        aliases=("000.00.00.H29",),
    )
    nation.add_agency("G01", "Bộ Công an")
    return nation
