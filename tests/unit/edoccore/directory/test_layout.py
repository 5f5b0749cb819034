from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tuf.api.metadata import TargetFile

from edoccore.directory import layout
from edoccore.directory.layout import AgencyState, IdentityEntry, SealListing
from edoccore.errors import DirectoryInvalidError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTRY = IdentityEntry(
    code="H29",
    name="Ủy ban nhân dân",
    state=AgencyState.ACTIVE,
    valid_from="2026-11-23T03:04:05.000Z",
    seals=(SealListing(certificate="AAAA"),),
)


def test_a_target_gives_back_what_was_put_in() -> None:
    target = layout.make_target("identity/H29", ENTRY)
    assert layout.read_target(target, IdentityEntry) == ENTRY
    read_back = TargetFile.from_dict(target.to_dict(), "identity/H29")
    assert layout.read_target(read_back, IdentityEntry) == ENTRY


def test_a_target_whose_data_is_not_that_of_its_hash_is_refused() -> None:
    target = layout.make_target("identity/H29", ENTRY)
    other = layout.make_target("identity/H29", replace(ENTRY, name="Other"))
    target.unrecognized_fields["custom"] = other.custom
    with pytest.raises(DirectoryInvalidError, match="identity/H29"):
        layout.read_target(target, IdentityEntry)


def test_a_target_without_data_is_refused() -> None:
    target = TargetFile.from_data("identity/H29", b"null")
    with pytest.raises(DirectoryInvalidError, match="cannot be read"):
        layout.read_target(target, IdentityEntry)


def test_a_member_that_a_newer_registry_adds_is_ignored() -> None:
    target = layout.make_target("identity/H29", ENTRY)
    custom = {**target.custom, "later": [1, 2]}
    data = layout._ENCODER.encode(custom)
    newer = TargetFile.from_data("identity/H29", data)
    newer.unrecognized_fields["custom"] = custom
    assert layout.read_target(newer, IdentityEntry) == ENTRY


@pytest.mark.parametrize(("role", "count"), [("identity", 64), ("endpoints", 128)])
def test_bins_are_named_by_their_numbers(role: str, count: int) -> None:
    assert layout.bin_names(role) == [f"{role}-{number:02x}" for number in range(count)]


@given(st.text(st.characters(codec="ascii", categories=("Lu", "Nd")), min_size=1, max_size=35))
def test_every_code_has_a_bin(code: str) -> None:
    assert layout.bin_of("identity", code) in layout.bin_names("identity")


@pytest.mark.parametrize("member", ["\ud800", 1 << 70, float("nan")])
def test_data_without_json_spoils_its_entry_and_nothing_else(member: object) -> None:
    target = layout.make_target("identity/H29", ENTRY)
    target.unrecognized_fields["custom"] = {**target.custom, "later": member}
    with pytest.raises(DirectoryInvalidError):
        layout.read_target(target, IdentityEntry)


def test_only_the_timestamp_has_no_version_in_its_name() -> None:
    assert layout.file_name("timestamp", 7) == "timestamp.json"
    assert layout.file_name("identity-1f", 1732330000000) == "1732330000000.identity-1f.json"


@given(st.timedeltas(timedelta(0), timedelta(days=365 * 8000)).map(lambda age: EPOCH + age))
def test_a_version_is_the_millisecond_in_which_it_was_given(moment: datetime) -> None:
    version = layout.next_version(0, moment)
    assert timedelta(0) <= moment - layout.moment_of(version) < timedelta(milliseconds=1) or (
        version == 1  # no version is 0, also in the first millisecond
    )
    ahead = moment.astimezone(timezone(timedelta(hours=7)))
    assert layout.next_version(0, ahead) == version
    assert layout.next_version(version + 5, moment) == version + 6


def test_a_version_beyond_all_dates_was_given_on_the_last_of_them() -> None:
    for version in (253_402_300_799_999, 253_402_300_800_000, (1 << 64) - 1):
        assert layout.moment_of(version) == datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)


def test_text_that_is_no_base64_is_refused() -> None:
    with pytest.raises(DirectoryInvalidError, match="base64"):
        layout.from_base64("A")
