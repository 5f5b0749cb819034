"""A revoked key gets in nowhere, one refresh after the revocation was published."""

from datetime import timedelta
from pathlib import Path

from edoccore.directory.layout import REFRESH_EVERY
from edocnode.domain.directory import RefreshPlan
from edocnode.settings import NodeSettings
from tests.support.revocation import BUSY, IDLE, RESTARTED, RESUMED, measured

REFRESH_S = 1.0
JITTER = 1.25
FETCH_S = 2.0  # on a machine that does much else


async def test_t36_revoked_key_is_refused_in_all_four_situations(tmp_path: Path) -> None:
    found = await measured(tmp_path, refresh_s=REFRESH_S, watch_s=4)
    assert found.keys() == {IDLE, BUSY, RESUMED, RESTARTED}
    assert found[RESTARTED] == 0
    for situation, seconds in found.items():
        assert seconds <= REFRESH_S * JITTER + FETCH_S, situation


def test_t36_longest_wait_for_a_refresh_is_well_below_a_minute() -> None:
    assert RefreshPlan().delay(1.0) <= timedelta(seconds=40)
    assert NodeSettings(listen="127.0.0.1:1").directory_refresh == REFRESH_EVERY
