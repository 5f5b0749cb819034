"""The short campaign: real faults of disk, clock, network and power, one after another.

tests/README.md has the long one.
"""

import os
import random
from pathlib import Path

import pytest

from tests.campaigns.__main__ import play
from tests.campaigns.faults import FAULTS
from tests.campaigns.stage import Stage
from tests.support.network import Network

SEED = int(os.environ.get("EDOC_CAMPAIGN_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nodes_stand_the_faults_of_the_short_campaign(
    stopped_network: Network, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    stage = Stage(stopped_network, scratch, random.Random(SEED))
    names = [name for name, fault in FAULTS.items() if fault.short]
    assert play(stage, names, rounds=1) == ""
