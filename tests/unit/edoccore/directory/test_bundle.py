from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.directory.bundle import decode_bundle, encode_bundle, encode_floor, read_floor
from edoccore.directory.floor import NO_FLOOR, decode_floor
from edoccore.errors import DirectoryInvalidError, StorageDamagedError
from tests.support.nation import Nation

FILES = {"timestamp.json": b"one", "1.root.json": bytes(range(256))}
BUNDLE = encode_bundle(FILES)


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=5))
def test_a_bundle_gives_back_its_files(files: dict[str, bytes]) -> None:
    assert decode_bundle(encode_bundle(files)) == files


@given(st.integers(0, len(BUNDLE) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_found(place: int, change: int) -> None:
    data = bytearray(BUNDLE)
    data[place] ^= change
    with pytest.raises(StorageDamagedError):
        decode_bundle(bytes(data))


@given(st.integers(0, len(BUNDLE) - 1))
def test_a_torn_bundle_is_found(length: int) -> None:
    with pytest.raises(StorageDamagedError):
        decode_bundle(BUNDLE[:length])


def test_a_floor_is_no_bundle(nation: Nation) -> None:
    floor = nation.directory().floor()
    data = encode_floor(floor)
    assert read_floor(data) == floor
    assert read_floor(encode_floor(NO_FLOOR)) == NO_FLOOR
    with pytest.raises(StorageDamagedError):
        decode_bundle(data)
    with pytest.raises(StorageDamagedError):
        read_floor(BUNDLE)


@pytest.mark.parametrize("content", [b"\x81\xa1\xff\xc4\x00", b"\x91" * 100_000])
def test_a_bundle_with_other_content_under_a_right_checksum_is_damaged(content: bytes) -> None:
    kind = BUNDLE.split(b"\n")[0]
    data = b"\n".join((kind, sha256(content).hexdigest().encode(), content))
    with pytest.raises(StorageDamagedError):
        decode_bundle(data)


def test_a_floor_without_end_is_damaged() -> None:
    with pytest.raises(DirectoryInvalidError):
        decode_floor(b'{"a":' * 100_000)
