"""Encrypted parts: what is not exactly what its sender made for this place gives no content."""

import struct
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import structs

from edoccore.identity.encryption import (
    LATTICE_BYTES,
    PUBLIC_BYTES,
    WRAPPED_BYTES,
    PrivateEncryptionKey,
    PublicEncryptionKey,
)
from edoccore.office_errors import EncryptionKeyError, PartNotDecryptedError
from edoccore.signing import canonical
from edoccore.signing.encryption import (
    CHUNK_BYTES,
    MAX_HEADER_BYTES,
    MAX_KEYS,
    Encryption,
    PartDecryptor,
    PartEncryptor,
    PartPlace,
    Reader,
    content_key,
    encrypted_size,
    header_for,
)

PLACE = PartPlace(
    network="vn-test",
    document_id="019a2b3c-4d5e-7f60-8a1b-000000000002",
    sender="H26",
    index=1,
)
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
MAGIC = b"EDOC-ENCRYPTED-1\n"
SEALED_CHUNK = CHUNK_BYTES + 16


def private(seed: int) -> PrivateEncryptionKey:
    return PrivateEncryptionKey(
        MLKEM768PrivateKey.from_seed_bytes(bytes([seed]) * 64),
        X25519PrivateKey.from_private_bytes(bytes([seed]) * 32),
    )


SENDER, RECIPIENT, STRANGER = private(1), private(2), private(3)
READERS = [Reader("H26", SENDER.public), Reader("H29", RECIPIENT.public)]


def encrypted(
    content: bytes, place: PartPlace = PLACE, key: bytes = KEY, header: bytes = b""
) -> bytes:
    encryptor = PartEncryptor(header or header_for(place, key, READERS), key)
    return encryptor.update(content) + encryptor.finish()


def opened(
    data: bytes,
    place: PartPlace = PLACE,
    *,
    agency: str = "H29",
    key: PrivateEncryptionKey = RECIPIENT,
    step: int = 100_000,
) -> bytes:
    keys = {key.public.sha256: lambda: key}
    decryptor = PartDecryptor(place, lambda header: content_key(header, agency, keys))
    pieces = [decryptor.update(data[start : start + step]) for start in range(0, len(data), step)]
    return b"".join([*pieces, decryptor.finish()])


def taken_apart(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header of a part, and its chunks."""
    [size] = struct.unpack(">I", data[len(MAGIC) : len(MAGIC) + 4])
    start = len(MAGIC) + 4 + size
    chunks = data[start:]
    return data[len(MAGIC) + 4 : start], [
        chunks[at : at + SEALED_CHUNK] for at in range(0, len(chunks), SEALED_CHUNK)
    ]


def put_together(header: bytes, chunks: list[bytes]) -> bytes:
    return MAGIC + struct.pack(">I", len(header)) + header + b"".join(chunks)


def content_of(size: int) -> bytes:
    return bytes(at % 251 for at in range(size))


@pytest.mark.parametrize(
    "size",
    [0, 1, 31, 32, 33, *(CHUNK_BYTES + more for more in (-33, -32, -31, -1, 0, 1)), 200_000],
)
@pytest.mark.parametrize("step", [1009, SEALED_CHUNK, 1 << 20])
def test_every_reader_gets_the_content_in_pieces_of_any_size(size, step):
    content = content_of(size)
    header = header_for(PLACE, KEY, READERS)
    data = encrypted(content, header=header)
    assert len(data) == encrypted_size(header, size)
    assert opened(data, step=step) == content
    assert opened(data, agency="H26", key=SENDER, step=step) == content
    assert len(content) < 33 or content not in data


def test_encrypting_in_pieces_makes_the_same_bytes():
    header, content = header_for(PLACE, KEY, READERS), content_of(150_000)
    encryptor = PartEncryptor(header, KEY)
    pieces = [encryptor.update(content[at : at + 777]) for at in range(0, len(content), 777)]
    assert b"".join([*pieces, encryptor.finish()]) == encrypted(content, header=header)


def test_constant_memory_both_ways():
    encryptor = PartEncryptor(header_for(PLACE, KEY, READERS), KEY)
    decryptor = PartDecryptor(
        PLACE,
        lambda header: content_key(header, "H29", {RECIPIENT.public.sha256: lambda: RECIPIENT}),
    )
    largest = 0
    for _ in range(200):
        made = encryptor.update(b"x" * 100_000)
        given = decryptor.update(made)
        largest = max(largest, len(made), len(given))
    assert largest < 300_000
    assert decryptor.update(encryptor.finish()) + decryptor.finish()


@pytest.mark.parametrize("size", [0, 100, CHUNK_BYTES - 32, 3 * CHUNK_BYTES])
def test_cut_off_anywhere_it_never_ends_well(size):
    data = encrypted(content_of(size))
    header, chunks = taken_apart(data)
    start = len(data) - sum(map(len, chunks))
    cuts = {0, 5, len(MAGIC), len(MAGIC) + 3, start - 1, start, len(data) - 1, len(data) - 16}
    cuts |= {start + at * SEALED_CHUNK for at in range(len(chunks))}
    for cut in sorted(cut for cut in cuts if cut < len(data)):
        with pytest.raises(PartNotDecryptedError):
            opened(data[:cut])
    for kept in range(len(chunks)):
        with pytest.raises(PartNotDecryptedError, match="chunk"):  # not only its digest
            opened(put_together(header, chunks[:kept]))


def test_chunk_in_the_wrong_place_gives_nothing_at_all():
    """Not only at the end, by the digest: nobody sees a piece of it before that."""
    header, chunks = taken_apart(encrypted(content_of(4 * CHUNK_BYTES)))
    keys = {RECIPIENT.public.sha256: lambda: RECIPIENT}
    decryptor = PartDecryptor(PLACE, lambda found: content_key(found, "H29", keys))
    with pytest.raises(PartNotDecryptedError, match="chunk 0"):
        decryptor.update(put_together(header, [chunks[1], chunks[0], chunks[2]]))


def test_content_that_has_not_the_digest_at_its_end_is_refused():
    encryptor = PartEncryptor(header_for(PLACE, KEY, READERS), KEY)
    data = encryptor.update(b"content")
    encryptor._digest.update(b"and what its sender hashed besides")
    with pytest.raises(PartNotDecryptedError, match="digest"):
        opened(data + encryptor.finish())


def test_chunks_cannot_be_moved_left_out_doubled_or_added():
    data = encrypted(content_of(4 * CHUNK_BYTES))
    header, chunks = taken_apart(data)
    first, second, *rest = chunks
    for wrong in (
        [second, first, *rest],
        [first, *rest],
        [first, first, second, *rest],
        [*chunks, chunks[-1]],
        [*chunks, b"x"],
        [*chunks[:-1], chunks[-1] + b"x"],
        [chunks[-1]],
    ):
        with pytest.raises(PartNotDecryptedError, match="chunk"):
            opened(put_together(header, wrong))
    assert opened(put_together(header, chunks)) == content_of(4 * CHUNK_BYTES)


def test_every_changed_byte_is_noticed():
    data = bytearray(encrypted(b"Nghi quyet"))
    for at in range(len(data)):
        data[at] ^= 1
        with pytest.raises(PartNotDecryptedError):
            opened(bytes(data))
        data[at] ^= 1
    assert opened(bytes(data)) == b"Nghi quyet"


@pytest.mark.parametrize(
    "other",
    [
        {"network": "vn-other"},
        {"document_id": "019a2b3c-4d5e-7f60-8a1b-000000000003"},
        {"sender": "H27"},
        {"index": 2},
    ],
    ids=lambda other: next(iter(other)),
)
def test_part_of_another_place_is_not_opened(other):
    """Whoever sends a stolen part under its own name gets no content shown."""
    data = encrypted(b"stolen")
    with pytest.raises(PartNotDecryptedError, match="was made for"):
        opened(data, structs.replace(PLACE, **other))


@pytest.mark.parametrize(
    "other",
    [
        {"network": "vn-other"},
        {"document_id": "019a2b3c-4d5e-7f60-8a1b-000000000003"},
        {"from_": "H27"},
        {"index": 2},
        {"commitment": "ab" * 32},
    ],
    ids=lambda other: next(iter(other)),
)
def test_wrapped_key_is_worth_nothing_in_another_header(other):
    """Even with a header that names the thief's own document the stolen key does not unwrap."""
    header = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    keys = {RECIPIENT.public.sha256: lambda: RECIPIENT}
    assert content_key(header, "H29", keys) == KEY
    with pytest.raises(PartNotDecryptedError):
        content_key(structs.replace(header, **other), "H29", keys)


def test_key_wrapped_for_another_agency_is_not_taken():
    header = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    keys = {RECIPIENT.public.sha256: lambda: RECIPIENT}
    with pytest.raises(PartNotDecryptedError):
        content_key(header, "G01", keys)  # the same key under another code


def test_swapped_wrapped_keys_open_nothing():
    header = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    one, two = header.keys
    swapped = structs.replace(
        header,
        keys=(
            structs.replace(one, wrapped=two.wrapped),
            structs.replace(two, wrapped=one.wrapped),
        ),
    )
    for agency, key in (("H26", SENDER), ("H29", RECIPIENT)):
        with pytest.raises(PartNotDecryptedError):
            content_key(swapped, agency, {key.public.sha256: lambda key=key: key})


def test_two_recipients_cannot_be_given_two_keys_for_the_same_bytes():
    """A sender that wraps another key for one of them is found out, so all read the same."""
    honest = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    from edoccore.signing.encryption import wrapping_info

    info = wrapping_info(PLACE, "H29", honest.commitment)
    forged = b64encode(RECIPIENT.public.wrap(OTHER_KEY, info)).decode()
    two = structs.replace(
        honest, keys=(honest.keys[0], structs.replace(honest.keys[1], wrapped=forged))
    )
    assert content_key(two, "H26", {SENDER.public.sha256: lambda: SENDER}) == KEY
    with pytest.raises(PartNotDecryptedError, match="commits"):
        content_key(two, "H29", {RECIPIENT.public.sha256: lambda: RECIPIENT})


@pytest.mark.parametrize("wrapped", ["A", "AAAAA", "A=", "AA==", "A" * 2048])
def test_a_wrapped_key_of_any_text_is_refused_as_one_that_opens_nothing(wrapped):
    header = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    keys = tuple(structs.replace(each, wrapped=wrapped) for each in header.keys)
    made = canonical.encode(structs.replace(header, keys=keys), limit=MAX_HEADER_BYTES)
    with pytest.raises(PartNotDecryptedError):
        opened(encrypted(b"x", header=made))


def test_stranger_and_lost_key_are_told_apart():
    data = encrypted(b"content")
    with pytest.raises(PartNotDecryptedError, match="not encrypted for G09"):
        opened(data, agency="G09", key=STRANGER)
    with pytest.raises(PartNotDecryptedError, match="which is not here") as lost:
        opened(data, key=STRANGER)
    assert lost.value.fields["key"] == RECIPIENT.public.sha256[:16]


def test_what_is_no_encrypted_part_is_refused():
    header = header_for(PLACE, KEY, READERS)
    for wrong in (
        b"",
        b"%PDF-1.7 not encrypted at all, and long enough for a prefix",
        MAGIC + struct.pack(">I", 0),
        MAGIC + struct.pack(">I", MAX_HEADER_BYTES + 1) + b"x" * 100,
        MAGIC + struct.pack(">I", 0xFFFFFFFF),
        put_together(b"{}", [b"x" * 64]),
        put_together(header + b" ", [b"x" * 64]),
    ):
        with pytest.raises(PartNotDecryptedError):
            opened(wrong)


def test_unknown_suite_is_refused():
    decoded = canonical.decode(header_for(PLACE, KEY, READERS), Encryption, limit=MAX_HEADER_BYTES)
    header = canonical.encode(structs.replace(decoded, suite=2), limit=MAX_HEADER_BYTES)
    with pytest.raises(PartNotDecryptedError, match="suite 2"):
        opened(encrypted(b"content", header=header))


def test_most_readers_fit_into_a_header():
    readers = [Reader(f"{number:035}", RECIPIENT.public) for number in range(MAX_KEYS)]
    header = header_for(PLACE, KEY, readers)
    assert len(header) < MAX_HEADER_BYTES
    assert opened(encrypted(b"content", header=header), agency=f"{0:035}") == b"content"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * PUBLIC_BYTES,
        RECIPIENT.public.data[:-1],
        RECIPIENT.public.data + b"x",
        RECIPIENT.public.data[:LATTICE_BYTES] + bytes(32),  # no secret comes of it
    ],
    ids=["empty", "no lattice key", "short", "long", "low order"],
)
def test_unusable_public_key_is_refused(data):
    key = PublicEncryptionKey(data)
    assert not key.is_usable
    with pytest.raises(EncryptionKeyError):
        key.wrap(KEY, b"")


def test_wrapping_differs_each_time_and_has_one_length():
    one, two = (RECIPIENT.public.wrap(KEY, b"info") for _ in range(2))
    assert one != two
    assert {len(one), len(two)} == {WRAPPED_BYTES}
    assert RECIPIENT.unwrap(one, b"info") == RECIPIENT.unwrap(two, b"info") == KEY
    for wrong in (b"", b64decode("AAAA"), one[:-1], bytes(WRAPPED_BYTES)):
        with pytest.raises(PartNotDecryptedError):
            RECIPIENT.unwrap(wrong, b"info")
