from dataclasses import fields, replace
from datetime import timedelta

import pytest
from msgspec import structs

from edoccore.directory import layout
from edoccore.directory.loading import load
from edoccore.directory.memory import Memory, encode
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, StorageDamagedError
from tests.support.nation import Nation, RevocationKind

SOFTWARE = "this 1.0"
BUILT = {"seals", "ownership", "endpoints", "pins", "chain"}  # compared by what they say


def memory_of(directory: Directory, software: str = SOFTWARE) -> Memory:
    return Memory(encode(directory, software), SOFTWARE)


def moved(directory: Directory, code: str) -> Directory:
    """What a forged memory would say: the agency elsewhere than its own statement has it."""
    endpoint = replace(directory.endpoints[code], addresses=("evil.example:1",))
    return replace(directory, endpoints={**directory.endpoints, code: endpoint})


def test_a_directory_is_the_same_with_its_memory(nation: Nation) -> None:
    nation.add_agency("H31", "Thành phố Hải Phòng", aliases=("000.00.31.H31",), owns=("H31.1",))
    nation.replace_seal("G01")
    nation.set_address("G01", "g01.example:7443", "[::1]:7443")
    nation.suspend("H31")
    plain = load(nation.publish(), nation.anchor)
    recalled = load(nation.files, nation.anchor, memory=memory_of(plain))
    for field in fields(Directory):
        if field.name not in BUILT:
            assert getattr(recalled, field.name) == getattr(plain, field.name), field.name
    assert recalled.ownership.owners == plain.ownership.owners
    assert recalled.pins == plain.pins
    for code, endpoint in plain.endpoints.items():
        again = recalled.endpoints[code]
        assert replace(again, listed=endpoint.listed) == endpoint
        assert again.listed.key == endpoint.listed.key
        for field in fields(endpoint.listed):
            assert getattr(again.listed, field.name) == getattr(endpoint.listed, field.name)


def test_entries_that_were_left_out_stay_left_out(nation: Nation) -> None:
    nation.endpoints["H29"] = nation.endpoints["G01"]  # sealed by somebody else
    plain = load(nation.publish(), nation.anchor)
    recalled = load(nation.files, nation.anchor, memory=memory_of(plain))
    assert "H29" not in recalled.endpoints
    assert recalled.problems == plain.problems
    assert set(recalled.refused) == {"endpoints/H29"}


def test_what_is_remembered_is_not_checked_again(nation: Nation) -> None:
    """Which is why nobody else may write there; a whole forgery of a memory is believed."""
    memory = memory_of(moved(nation.directory(), "H29"))
    assert load(nation.files, nation.anchor, memory=memory).endpoints["H29"].addresses == (
        "evil.example:1",
    )


def test_the_memory_of_other_software_counts_for_nothing(nation: Nation) -> None:
    plain = nation.directory()
    memory = memory_of(moved(plain, "H29"), "this 0.9")
    again = load(nation.files, nation.anchor, memory=memory)
    assert again.endpoints["H29"].addresses == plain.endpoints["H29"].addresses


def test_the_memory_of_another_snapshot_counts_for_nothing(nation: Nation) -> None:
    memory = memory_of(moved(nation.directory(), "H29"))
    nation.now += timedelta(minutes=1)
    nation.add_agency("H31", "Thành phố Hải Phòng")
    again = load(nation.publish(), nation.anchor, memory=memory)
    assert "H31" in again.identities
    assert again.endpoints["H29"].addresses == ("127.0.0.1:9",)


@pytest.mark.parametrize("parent", layout.BINNED_ROLES)
def test_a_bin_that_the_snapshot_does_not_name_is_refused_with_a_memory_too(
    nation: Nation, parent: str
) -> None:
    memory = memory_of(nation.directory())
    name = next(name for name in nation.files if f".{parent}-" in name)
    with pytest.raises(DirectoryInvalidError):
        load({**nation.files, name: nation.files[name] + b" "}, nation.anchor, memory=memory)
    missing = {other: data for other, data in nation.files.items() if other != name}
    with pytest.raises(DirectoryInvalidError):
        load(missing, nation.anchor, memory=memory)


def test_a_snapshot_must_be_signed_with_a_memory_too(nation: Nation) -> None:
    memory = memory_of(nation.directory())
    stranger = Nation.create(nation.now)
    with pytest.raises(DirectoryInvalidError):
        load(nation.files, stranger.anchor, memory=memory)


def test_what_was_revoked_since_ends_with_a_memory_too(nation: Nation) -> None:
    memory = memory_of(nation.directory())
    before = dict(nation.files)
    nation.revoke("H29", RevocationKind.SEAL)
    floor = nation.directory().floor()
    again = load(before, nation.anchor, floor, memory)
    assert "H29" not in again.endpoints
    assert "revoked" in again.refused[layout.endpoint_path("H29")]


def test_a_damaged_memory_is_told(nation: Nation) -> None:
    data = encode(nation.directory(), SOFTWARE)
    for broken in (b"", data[:-1], data + b"x", b"\x93" + data):
        with pytest.raises(StorageDamagedError):
            Memory(broken, SOFTWARE)


def test_a_listed_certificate_that_was_refused_is_refused_again(nation: Nation) -> None:
    entry, wrong = nation.entries["H29"], nation.agencies["H29"].tls_certificate
    listing = layout.SealListing(certificate=layout.to_base64(wrong))
    nation.entries["H29"] = structs.replace(entry, seals=(*entry.seals, listing))
    plain = load(nation.publish(), nation.anchor)
    recalled = load(nation.files, nation.anchor, memory=memory_of(plain))
    assert len(plain.problems) == 1
    assert recalled.problems == plain.problems
