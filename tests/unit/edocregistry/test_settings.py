"""Settings of the registry: defaults that fit, values that cannot work refused by name."""

import pytest

from edoccore.errors import SettingsError
from edocregistry.settings import first_settings, read_settings, settings_text


def test_advertise_and_crl_place_follow_from_what_is_given():
    settings = first_settings(network="vn-test", listen="10.0.0.1:7440", advertise=None)
    assert settings.advertise == "10.0.0.1:7440"
    assert settings.crl_url == "urn:edoc:vn-test:revocations"


def test_file_that_init_writes_reads_back_the_same(tmp_path):
    settings = first_settings(network="vn-test", listen="[::]:7440", advertise="r.example.vn:7440")
    path = tmp_path / "edocregistry.toml"
    path.write_text(settings_text(settings))
    assert read_settings(path) == settings


def test_environment_goes_before_the_file(tmp_path, monkeypatch):
    path = tmp_path / "edocregistry.toml"
    path.write_text(
        settings_text(first_settings(network="vn", listen="10.0.0.1:1", advertise=None))
    )
    monkeypatch.setenv("EDOCREGISTRY_LOG_FORMAT", "json")
    monkeypatch.setenv("EDOCREGISTRY_DATA", str(tmp_path))
    assert read_settings(path).log_format == "json"


@pytest.mark.parametrize("listen", ["0.0.0.0:7440", "[::]:7440"])
def test_all_of_this_machine_is_no_address_for_nodes(listen):
    with pytest.raises(SettingsError, match="advertise"):
        first_settings(network="vn", listen=listen, advertise=None)


@pytest.mark.parametrize("listen", ["x", "x:0", "x:65536", "a b:1", ":1", "x:1/", "::1:7"])
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(SettingsError):
        first_settings(network="vn", listen=listen, advertise=None)


@pytest.mark.parametrize("network", ["", "Vn", "-vn", "vn test", "v" * 64, "việt"])
def test_what_is_no_name_of_a_network_is_refused(network):
    with pytest.raises(SettingsError, match="network"):
        first_settings(network=network, listen="10.0.0.1:1", advertise=None)
