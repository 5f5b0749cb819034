"""Records in memory and an issuing CA, for the rules of the registry."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edockit import certificates
from edockit.database import Database
from edocregistry.storage.keys import FileAuthority
from edocregistry.storage.records import SqlRecords
from edocregistry.storage.tables import RegistryTable

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@pytest.fixture
def in_records() -> Iterator[Callable]:
    """Runs a function on records, in a transaction of its own."""
    database = Database.open("sqlite://", metadata=RegistryTable.metadata)
    yield lambda act: database.write(lambda connection: act(SqlRecords(connection))).result()
    database.close()


@pytest.fixture
def authority(tmp_path) -> FileAuthority:
    key = certificates.new_private_key()
    path = tmp_path / "issuing-ca.pem"
    certificates.save_private_key(path, key)
    certificate = certificates.new_ca(
        key,
        name="Seals of vn-test",
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=3650),
    )
    return FileAuthority(path, certificate, crl_url="urn:edoc:test", life=timedelta(days=730))
