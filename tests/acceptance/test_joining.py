"""Joining by the commands: a join string is good once, and only as it was written."""

from dataclasses import replace
from pathlib import Path

from tests.support.network import HA_TINH, Network

LISTEN = "127.0.0.1:1"  # never bound: joining alone listens nowhere
CODE = "H40"


def test_join_string_is_good_once_and_only_as_written(network: Network, tmp_path: Path) -> None:
    registry, template = network.registry, network[HA_TINH]
    registry.done("agency", "add", CODE, "--name", "Tỉnh Nam Định")
    join = registry.done("invite", CODE)["join"]
    fresh = replace(template, name=CODE, data=tmp_path / "first")
    altered = join[:-1] + ("a" if join[-1] != "a" else "b")

    assert fresh.run("init", altered, "--listen", LISTEN).error == (2, "JOIN_STRING_INVALID")
    assert not fresh.data.exists()

    fresh.done("init", join, "--listen", LISTEN)
    assert fresh.run("init", join, "--listen", LISTEN).code == 0  # repeated: nothing changes

    assert "seal-mldsa" not in {item["name"] for item in fresh.done("keys", "list")["keys"]}

    other = replace(template, name=CODE, data=tmp_path / "second")
    assert other.run("init", join, "--listen", LISTEN).error == (4, "TOKEN_REFUSED")
    assert not (other.data / "node.json").exists()


def test_joining_goes_by_the_environment_as_every_command_does(
    network: Network, tmp_path: Path
) -> None:
    registry, template = network.registry, network[HA_TINH]
    registry.done("agency", "add", "H43", "--name", "Tỉnh Quảng Nam")
    join = registry.done("invite", "H43")["join"]
    database = tmp_path / "elsewhere.db"
    own = template.settings | {"SEAL_SUITE": "2", "DATABASE": f"sqlite:///{database}"}
    fresh = replace(template, name="H43", data=tmp_path / "node", settings=own)
    refused = fresh.run("init", join, "--listen", LISTEN, "--suite", 1)
    assert refused.error == (2, "SETTINGS_INVALID")
    assert "EDOCNODE_SEAL_SUITE" in refused.talk
    assert not list((fresh.data / "keys").glob("seal*"))

    fresh.done("init", join, "--listen", LISTEN)
    assert {item["name"] for item in fresh.done("keys", "list")["keys"]} >= {"seal", "seal-mldsa"}
    assert database.exists()
    assert not (fresh.data / "node.db").exists()
