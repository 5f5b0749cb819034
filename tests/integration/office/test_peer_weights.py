"""The weights that an operator gives to agencies."""

from pathlib import Path

import pytest

from edoccore.errors import SettingsError
from edocnode.settings import read_settings


def written(folder: Path, weights: str) -> Path:
    file = folder / "edocnode.toml"
    file.write_text(f'listen = "127.0.0.1:0"\n{weights}', encoding="utf-8")
    return file


def test_weights_are_a_table_of_codes_and_one_for_all_others(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, "[peer_weights]\nG01 = 4\n'000.00.00.G22' = 2\n"))
    weights = [settings.weight(code) for code in ("G01", "000.00.00.G22", "H29")]
    assert weights == [4, 2, 1]


def test_weights_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDOCNODE_PEER_WEIGHTS", '{"H29": 3}')
    assert read_settings(written(tmp_path, "")).weight("H29") == 3


@pytest.mark.parametrize("weight", ["0", "101", "-1", "1.5", "'much'"])
def test_a_weight_that_cannot_be_is_refused_by_its_name(tmp_path: Path, weight: str) -> None:
    with pytest.raises(SettingsError, match=r"peer_weights\.G01"):
        read_settings(written(tmp_path, f"[peer_weights]\nG01 = {weight}\n"))
