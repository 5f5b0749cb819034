from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from edoccore.directory.endpoints import encryption_key, from_entry
from edoccore.directory.layout import OwnedCode, RevocationKind, to_base64
from edoccore.directory.view import Directory
from edoccore.errors import (
    PeerNotTrustedError,
)
from edoccore.identity.encryption import PrivateEncryptionKey, PublicEncryptionKey
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import EncryptionKey, Endpoint
from edockit import certificates
from tests.support.nation import Nation, tls_certificate
from tests.unit.edoccore.directory.conftest import NOW


def test_an_endpoint_tells_addresses_and_pins(nation: Nation) -> None:
    nation.set_address("H29", "10.0.0.1:7000", "[::1]:7000")
    endpoint = nation.directory().endpoint("H29", NOW)
    assert endpoint is not None
    assert endpoint.addresses == ("10.0.0.1:7000", "[::1]:7000")
    assert [pin.sha256 for pin in endpoint.pins] == [nation.agencies["H29"].tls_sha256]


def test_a_tls_certificate_stands_for_its_agency(nation: Nation) -> None:
    directory = nation.directory()
    for code, agency in nation.agencies.items():
        assert directory.tls_agency(agency.tls_sha256, NOW) == code
    assert {pin.agency for pin in directory.tls_pins(NOW)} == {"G01", "H29", "REGISTRY"}


def test_current_and_next_certificate_are_both_pinned(nation: Nation) -> None:
    agency = nation.agencies["H29"]
    current = agency.renew_tls(NOW)
    both = (current, agency.tls_certificate)
    nation.put_endpoint("H29", agency.endpoint("h:1", time=NOW, tls_certificates=both))
    directory = nation.directory()
    assert [pin.certificate for pin in directory.tls_pins(NOW) if pin.agency == "H29"] == list(both)


@pytest.mark.parametrize(
    ("offset", "match"),
    [(-timedelta(hours=2), "not valid"), (timedelta(days=366), "not valid")],
)
def test_t36_a_tls_certificate_ends_with_its_dates(
    nation: Nation, offset: timedelta, match: str
) -> None:
    digest = nation.agencies["H29"].tls_sha256
    with pytest.raises(PeerNotTrustedError, match=match):
        nation.directory().tls_agency(digest, NOW + offset)


def test_t03_a_revoked_tls_certificate_ends_at_once_and_the_next_takes_over(
    nation: Nation,
) -> None:
    agency = nation.agencies["H29"]
    nation.revoke("H29", RevocationKind.TLS)
    current = agency.renew_tls(NOW)
    both = (current, agency.tls_certificate)
    nation.put_endpoint("H29", agency.endpoint("h:1", time=NOW, tls_certificates=both))
    directory = nation.directory()
    with pytest.raises(PeerNotTrustedError, match="revoked"):
        directory.tls_agency(directory.endpoints["H29"].pins[0].sha256, NOW)
    assert directory.tls_agency(agency.tls_sha256, NOW) == "H29"
    assert [pin.sha256 for pin in directory.tls_pins(NOW) if pin.agency == "H29"] == [
        agency.tls_sha256
    ]


def test_a_certificate_nobody_listed_is_nobody_s(nation: Nation) -> None:
    stranger = tls_certificate(certificates.new_private_key(), "H29", now=NOW)
    with pytest.raises(PeerNotTrustedError, match="not in the directory"):
        nation.directory().tls_agency(sha256(stranger).hexdigest(), NOW)


def test_an_endpoint_ends_with_the_seal_it_was_made_under(nation: Nation) -> None:
    directory = nation.directory()
    assert directory.endpoint("H29", NOW + timedelta(days=364)) is not None
    assert directory.endpoint("H29", NOW + timedelta(days=366)) is None
    nation.revoke("H29", RevocationKind.SEAL)
    assert nation.directory().endpoint("H29", NOW) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("2a8648ce3d040302", "2a8648ce3d04037f"), ("a003020102", "a003020105")],
)
def test_a_damaged_tls_certificate_ends_the_endpoint_of_its_agency_alone(
    nation: Nation, old: str, new: str
) -> None:
    agency = nation.agencies["H29"]
    damaged = agency.tls_certificate.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert damaged != agency.tls_certificate
    nation.put_endpoint("H29", agency.endpoint("h:1", time=NOW, tls_certificates=(damaged,)))
    directory = nation.directory()
    assert any("unreadable" in problem for problem in directory.problems)
    assert directory.endpoint("H29", NOW) is None
    assert directory.endpoint("G01", NOW) is not None


def by_another_agency(nation: Nation) -> SealedStatement:
    """G01 seals a statement that speaks for H29."""
    thief, victim = nation.agencies["G01"], nation.agencies["H29"]
    statement = victim.endpoint("6.6.6.6:6", time=NOW).statement
    return thief.seal(statement, time=NOW)[0]


def by_the_registry(nation: Nation) -> SealedStatement:
    """The registry seals a statement that speaks for H29."""
    statement = nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW).statement
    return nation.agencies["REGISTRY"].seal(statement, time=NOW)[0]


def with_an_own_certificate_of_the_registry(nation: Nation) -> SealedStatement:
    """The registry signs with a key of its own under a certificate that it does not list."""
    agency = nation.agencies["H29"]
    key = certificates.new_private_key()
    mine = nation.issue_seal(certificates.seal_request(key, "H29"), "H29", "not asked for")
    kept = agency.seal_key, agency.seal_certificate
    agency.seal_key, agency.seal_certificate = key, mine
    sealed = agency.endpoint("6.6.6.6:6", time=NOW)
    agency.seal_key, agency.seal_certificate = kept
    return sealed


def with_another_statement_under_the_seal(nation: Nation) -> SealedStatement:
    """A genuine seal with a statement that it does not cover."""
    genuine = nation.agencies["H29"].endpoint("127.0.0.1:9", time=NOW)
    other = nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW)
    return SealedStatement(other.statement, genuine.leaf, genuine.proof, genuine.seal)


def for_another_network(nation: Nation) -> SealedStatement:
    """A statement of the same agency with the same key in a test network."""
    agency = nation.agencies["H29"]
    agency.network = "vn-other"
    sealed = agency.endpoint("6.6.6.6:6", time=NOW)
    agency.network = nation.network
    return sealed


def with_the_certificate_of_a_neighbour(nation: Nation) -> SealedStatement:
    """H29 lists the TLS certificate of G01, to be taken for it."""
    stolen = nation.agencies["G01"].tls_certificate
    return nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW, tls_certificates=(stolen,))


def with_the_seal_certificate_for_tls(nation: Nation) -> SealedStatement:
    """T-05: H29 lists its seal certificate for TLS."""
    agency = nation.agencies["H29"]
    return agency.endpoint("6.6.6.6:6", time=NOW, tls_certificates=(agency.seal_certificate,))


def with_junk_for_tls(nation: Nation) -> SealedStatement:
    """H29 lists bytes that are no certificate."""
    return nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW, tls_certificates=(b"junk",))


@pytest.mark.parametrize(
    "forge",
    [
        by_another_agency,
        by_the_registry,
        with_an_own_certificate_of_the_registry,
        with_another_statement_under_the_seal,
        for_another_network,
        with_the_certificate_of_a_neighbour,
        with_the_seal_certificate_for_tls,
        with_junk_for_tls,
    ],
)
def test_an_endpoint_that_its_agency_did_not_seal_or_may_not_use_is_left_out(
    nation: Nation, forge: Callable[[Nation], SealedStatement]
) -> None:
    nation.put_endpoint("H29", forge(nation))
    directory = nation.directory()
    assert directory.endpoint("H29", NOW) is None
    assert any("endpoints/H29" in problem for problem in directory.problems)
    assert directory.tls_agency(nation.agencies["G01"].tls_sha256, NOW) == "G01"
    assert "6.6.6.6:6" not in [
        address for found in directory.endpoints.values() for address in found.addresses
    ]


def test_an_endpoint_under_another_agency_s_path_is_left_out(nation: Nation) -> None:
    nation.put_endpoint("G01", nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW))
    directory = nation.directory()
    assert directory.endpoint("G01", NOW) is None
    assert any("endpoints/G01" in problem for problem in directory.problems)


def test_an_endpoint_under_a_replaced_and_revoked_seal_is_left_out(nation: Nation) -> None:
    nation.revoke("H29", RevocationKind.SEAL)
    nation.replace_seal("H29")
    directory = nation.directory()
    assert directory.endpoint("H29", NOW) is None
    nation.set_address("H29", "127.0.0.1:10")
    directory = nation.directory()
    endpoint = directory.endpoint("H29", NOW)
    assert endpoint is not None
    assert endpoint.addresses == ("127.0.0.1:10",)


def test_an_endpoint_with_a_lower_counter_than_seen_before_is_left_out(nation: Nation) -> None:
    old = nation.agencies["H29"].endpoint("10.0.0.1:1", time=NOW)
    nation.set_address("H29", "10.0.0.2:2")
    current = nation.directory()
    nation.put_endpoint("H29", old)
    nation.now += timedelta(minutes=1)
    newer = nation.directory(current.floor())
    assert newer.endpoint("H29", NOW) is None
    assert any("counter" in problem for problem in newer.problems)
    assert newer.counters["H29"] == current.counters["H29"]


def test_owned_codes_may_change_with_a_new_directory(nation: Nation) -> None:
    nation.entries["H29"] = replace(
        nation.entries["H29"], owns=(OwnedCode(code="H29.6", name="New"),)
    )
    directory = nation.directory()
    assert directory.owns("H29", "H29.6")
    assert not directory.owns("H29", "H29.5.1")


def key_of(seed: int) -> PublicEncryptionKey:
    return PrivateEncryptionKey(
        MLKEM768PrivateKey.from_seed_bytes(bytes([seed]) * 64),
        X25519PrivateKey.from_private_bytes(bytes([seed]) * 32),
    ).public


def published(directory: Directory, agency: str = "H29") -> PublicEncryptionKey | None:
    endpoint = directory.endpoint(agency, NOW)
    return None if endpoint is None else encryption_key(endpoint)


def test_an_encryption_key_counts_only_under_the_seal_of_its_agency(nation: Nation) -> None:
    """Neither the registry nor another agency can put a key in its place."""
    victim, own, foreign = nation.agencies["H29"], key_of(1), key_of(2)
    assert published(nation.directory()) is None
    victim.encryption = own
    nation.set_address("H29", "127.0.0.1:9")
    genuine = nation.endpoints["H29"]
    assert published(nation.directory()) == own
    victim.encryption = foreign
    statement = victim.endpoint("127.0.0.1:9", time=NOW).statement
    for thief in ("G01", "REGISTRY"):
        nation.put_endpoint("H29", nation.agencies[thief].seal(statement, time=NOW)[0])
        assert published(nation.directory()) is None
    swapped = from_entry(genuine)
    nation.put_endpoint(
        "H29", SealedStatement(statement, swapped.leaf, swapped.proof, swapped.seal)
    )
    assert published(nation.directory()) is None


def test_an_older_encryption_key_never_comes_back(nation: Nation) -> None:
    """Whoever stole a key that was retired cannot have it used again."""
    victim = nation.agencies["H29"]
    victim.encryption = key_of(1)
    old = victim.endpoint("127.0.0.1:9", time=NOW)
    victim.encryption = key_of(2)
    nation.set_address("H29", "127.0.0.1:9")
    current = nation.directory()
    assert published(current) == key_of(2)
    nation.put_endpoint("H29", old)
    nation.now += timedelta(minutes=1)
    assert published(nation.directory(current.floor())) is None


@pytest.mark.parametrize(
    "stated",
    [
        EncryptionKey(suite=2, key=to_base64(key_of(1).data)),
        EncryptionKey(suite=1, key="AAAA"),
        EncryptionKey(suite=1, key="A"),
        EncryptionKey(suite=1, key=to_base64(key_of(1).data[:-32] + bytes(32))),
    ],
    ids=["unknown suite", "short", "no base64", "no secret comes of it"],
)
def test_an_unusable_encryption_key_counts_as_none(nation: Nation, stated: EncryptionKey) -> None:
    victim = nation.agencies["H29"]
    sealed = victim.endpoint("127.0.0.1:9", time=NOW)
    statement = replace(canonical.decode(sealed.statement, Endpoint), encryption=stated)
    nation.put_endpoint("H29", victim.seal(canonical.encode(statement), time=NOW)[0])
    directory = nation.directory()
    assert directory.endpoint("H29", NOW) is not None
    assert published(directory) is None
