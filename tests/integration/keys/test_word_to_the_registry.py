"""A registry that does not know whether its folder is the newest hears it from its nodes."""

from datetime import timedelta

from edocregistry.storage.log_files import PLACE
from tests.integration.keys.conftest import Country
from tests.support.nodes import running, until

PATIENT_S = 60


async def test_registry_that_was_copied_goes_on_when_a_running_node_holds_no_more(
    country: Country,
) -> None:
    node, log = country.first, country.registry.folder.log
    kept = node.data / "directory" / "log"
    async with running(node):
        async with country.serving():
            await until(
                lambda: kept.exists() and log.checkpoint() in kept.read_bytes(),
                within_s=PATIENT_S,
            )
        (country.registry.folder.path / "log" / PLACE).unlink()  # as in every copy
        assert not log.is_in_place()
        async with country.serving(patience=timedelta(0)):
            await until(log.is_in_place, within_s=PATIENT_S)
