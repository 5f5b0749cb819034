"""Signed notes against the published examples of C2SP, and every way to spoil one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edoccore.directory_errors import NoteInvalidError
from edoccore.signing.notes import (
    Kind,
    Note,
    NoteSigner,
    cosigned_at,
    is_signed_by,
    read_note,
    read_verifier_key,
)

# https://c2sp.org/signed-note, section Verifier keys: the example.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYj"
    "OBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
TEXT = "vn-test/edoc-directory\n2\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def signer(name: str = "vn-test/edoc-directory", kind: Kind = Kind.NOTE) -> NoteSigner:
    return NoteSigner(name, kind, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def test_published_example_is_read_and_verified():
    key = read_verifier_key(EXAMPLE_KEY, Kind.NOTE)
    note = read_note(EXAMPLE)
    assert key.text() == EXAMPLE_KEY
    assert is_signed_by(note, key)
    assert note.encode() == EXAMPLE


def test_altered_text_is_refused_and_an_unknown_key_says_nothing():
    key = read_verifier_key(EXAMPLE_KEY, Kind.NOTE)
    with pytest.raises(NoteInvalidError):
        is_signed_by(read_note(EXAMPLE.replace(b"an example", b"no example")), key)
    assert not is_signed_by(read_note(EXAMPLE), signer().key)


def test_cosignature_counts_with_its_moment_and_for_its_kind_alone():
    witness = signer("vn-test/edoc-witness/H29", Kind.COSIGNATURE)
    note = Note(TEXT, (signer().sign(TEXT), witness.cosign(TEXT, 1_679_315_147)))
    assert cosigned_at(note, witness.key) == 1_679_315_147
    assert is_signed_by(note, signer().key)
    other = signer("vn-test/edoc-witness/H29")
    assert not is_signed_by(note, other.key)  # the same key for another kind has another id


@pytest.mark.parametrize("place", range(8))
def test_cosignature_with_another_moment_is_refused(place):
    witness = signer("vn-test/edoc-witness/H29", Kind.COSIGNATURE)
    line = witness.cosign(TEXT, 1_679_315_147)
    data = bytearray(line.data)
    data[place] ^= 1
    forged = Note(TEXT, (type(line)(line.name, line.key_id, bytes(data)),))
    with pytest.raises(NoteInvalidError):
        cosigned_at(forged, witness.key)


def test_newer_cosignature_takes_the_place_of_the_older():
    witness = signer("vn-test/edoc-witness/H29", Kind.COSIGNATURE)
    note = Note(TEXT, (signer().sign(TEXT), witness.cosign(TEXT, 1)))
    again = note.with_signature(witness.cosign(TEXT, 2))
    assert cosigned_at(again, witness.key) == 2
    assert len(again.signatures) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no signature\n",
        b"text\n\nno signature\n",
        EXAMPLE[:-1],
        EXAMPLE + b"more",
        EXAMPLE.replace(b"\n\n", b"\n\t\n\n"),
        EXAMPLE.replace(b"This", b"Th\xffs"),
        EXAMPLE.replace(b"Uw2Q", b"U.2Q"),
        "text\n\n\u2014 name Uw2Q\n".encode(),
        "text\n\n\u2014 a+b Uw2QOkn8\n".encode(),
        b"x" * 40_000,
        b"text\n\n" + EXAMPLE.split(b"\n\n")[1] * 65,
    ],
)
def test_what_is_no_note_is_refused(data):
    with pytest.raises(NoteInvalidError):
        read_note(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("foo", "bar"),
        EXAMPLE_KEY[:-4],
        "a b" + EXAMPLE_KEY,
        EXAMPLE_KEY.rpartition("+")[0] + "+" + base64.b64encode(bytes(33)).decode(),
    ],
)
def test_mistyped_key_is_refused(text):
    with pytest.raises(NoteInvalidError):
        read_verifier_key(text, Kind.NOTE)


def test_key_of_a_log_is_none_of_a_witness():
    with pytest.raises(NoteInvalidError):
        read_verifier_key(EXAMPLE_KEY, Kind.COSIGNATURE)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_name_that_would_break_a_line_is_refused(name):
    with pytest.raises(NoteInvalidError):
        signer(name)
