"""A node that is set to suite 2 goes over by itself, and a change of its files survives a crash."""

from datetime import timedelta

import pytest
from cryptography import x509

from edoccore.identity.certificate import certified_key
from edoccore.identity.suites import suite_of
from edocnode.domain import seal_life
from edocnode.storage.folder import KEY, LATTICE_KEY, SEAL, SEAL_NEXT, DataFolder, KeyPlaces
from edocnode.storage.seal_keys import SealKeys
from edocnode.storage.tls_keys import ListedSince
from edocnode.workers import seal_renewal
from tests.integration.keys.conftest import Country
from tests.integration.keys.test_seal_renewal import exchanged, in_use
from tests.support.nodes import TestNode, running, until


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new seal is used as soon as it is listed; tests of the rule say when really."""
    monkeypatch.setattr(seal_life, "PEERS_HAVE_IT", timedelta(seconds=0))
    monkeypatch.setattr(seal_renewal, "LOOK_EVERY", timedelta(seconds=0.3))


def suite_in_use(node: TestNode) -> int:
    """Suite of the seal certificate in use."""
    chain = x509.load_pem_x509_certificates(DataFolder(node.data).seal_chain())
    return suite_of(certified_key(chain[0]))


async def test_a_node_set_to_suite_2_asks_for_the_pair_and_goes_over(
    country: Country, at_once: None
) -> None:
    first, second = country.first, country.second
    first.settings = first.settings.model_copy(update={"seal_suite": 2})
    assert suite_in_use(first) == 1
    async with country.serving(), running(first, second):
        await exchanged(first, second)
        await until(lambda: suite_in_use(first) == 2)
        await exchanged(first, second)
        assert "OWN_ENTRY_CHANGED" not in first.alarms()
    pair = in_use(first)
    assert suite_in_use(second) == 1
    first.settings = first.settings.model_copy(update={"seal_suite": 1})
    async with country.serving(), running(first, second):  # never back to a weaker one
        await exchanged(first, second)
    assert in_use(first) == pair


@pytest.mark.parametrize("renamed", [1, 2, 3])
def test_crash_between_the_renames_of_a_pair_leaves_the_new_one(
    country: Country, renamed: int
) -> None:
    folder = DataFolder(country.first.data, KeyPlaces(suite=2))
    keys = SealKeys(folder, folder.identity(), ListedSince(folder))
    assert keys.is_weaker()
    request = keys.next_request()
    registry, agency = country.registry, country.first.data.name
    with registry.folder.turn() as turn:
        known = turn.read(lambda records: records.agency(agency))
    assert known is not None
    certificate = registry.authority().issue(request, known, registry._clock())
    keys.keep_next([certificate, registry.authority().certificate])
    for kind in ("pem", KEY, LATTICE_KEY)[:renamed]:
        folder.key_file(SEAL_NEXT, kind).replace(folder.key_file(SEAL, kind))
    assert keys.signer()[0].suite == 2  # read also before the change is finished
    keys.finish_change()
    assert not list(folder.keys.glob("seal-next*"))
    assert keys.signer()[0].suite == 2
    assert not keys.is_weaker()
