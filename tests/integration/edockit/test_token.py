"""A key in a real PKCS#11 token (SoftHSM2): made there, used there, never read from there."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.errors import SealerStoppedError
from edoccore.identity.keys import verify_signature
from edoccore.identity.request import SealRequest
from edockit.certificates import (
    Validity,
    issue_seal,
    new_ca,
    new_private_key,
    seal_request,
)
from edockit.token import TokenKey, TokenRequestKey, TokenSigner
from tests.support.token import FINAL_TRY, KEY, LOCKED, PIN, TOKEN, SoftToken

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
DATA = b'{"type":"edoc.seal/v1"}'


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    return SoftToken.make(tmp_path / "token", monkeypatch.setenv)


@pytest.fixture
def key(token: SoftToken) -> Iterator[TokenKey]:
    key = TokenKey(token.place(), within=timedelta(seconds=5))
    yield key
    key.close()


def certified(key: TokenKey) -> x509.Certificate:
    """The certificate that a registry issues for the request of the key."""
    request = seal_request(TokenRequestKey(key), "H29")
    assert x509.load_der_x509_csr(request).is_signature_valid
    ca_key = new_private_key()
    validity = Validity(NOW - DAY, NOW + DAY)
    ca = new_ca(ca_key, name="CA", not_before=validity.not_before, not_after=validity.not_after)
    der = issue_seal(
        ca_key,
        ca,
        SealRequest(request),
        agency_code="H29",
        organisation="H29",
        not_before=validity.not_before,
        not_after=validity.not_after,
        crl_url="http://ca.example/crl",
    )
    return x509.load_der_x509_certificate(der)


def test_key_made_in_the_token_seals_and_never_leaves_it(token: SoftToken, key: TokenKey) -> None:
    certificate = certified(key)
    signer = TokenSigner(key, certificate)
    for number in range(20):  # half of all raw signatures have the high s
        data = DATA + bytes([number])
        verify_signature(signer._public_key, signer.suite, data, signer.sign(data))
    script = (
        "import sys, pkcs11\n"
        "from pkcs11 import Attribute, ObjectClass\n"
        "token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])\n"
        "session = token.open(user_pin=sys.argv[3])\n"
        "key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=sys.argv[4])\n"
        "assert key[Attribute.NEVER_EXTRACTABLE] and key[Attribute.ALWAYS_SENSITIVE]\n"
        "try:\n    key[Attribute.VALUE]\n"
        "except pkcs11.exceptions.AttributeSensitive:\n    print('sensitive')\n"
    )
    place = token.place()
    arguments = [str(place.module), TOKEN, PIN, KEY]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "sensitive\n"


def test_key_is_made_once_and_found_again(token: SoftToken, key: TokenKey) -> None:
    first = key.make()
    other = TokenKey(token.place())
    assert other.make() == first
    other.close()
    third = TokenKey(token.place(key="another"))
    assert third.make() != first
    third.close()


def test_wrong_pin_is_shown_to_the_token_once_whoever_tries_again(token: SoftToken) -> None:
    made = TokenKey(token.place())
    certificate = certified(made)
    made.close()
    token.write_pin("00001111")
    before = token.log().count("login")
    for _ in range(3):  # as a service manager that starts the program over and over
        signer = TokenSigner(TokenKey(token.place()), certificate)
        for _ in range(3):  # as the sealer, every second
            with pytest.raises(SealerStoppedError, match="refused the PIN") as caught:
                signer.sign(DATA)
        signer.close()
    assert token.log().count("login") == before + 1
    assert str(token.pin_file) in caught.value.hint
    assert "00001111" not in caught.value.message + caught.value.hint
    assert b"00001111" not in token.place().refused.read_bytes()
    assert token.place().refused.stat().st_mode & 0o777 == 0o600
    token.write_pin(PIN)
    signer = TokenSigner(TokenKey(token.place()), certificate)
    signer.sign(DATA)  # the right one is tried at once
    assert not token.place().refused.exists()
    signer.close()


@pytest.mark.parametrize("flag", [FINAL_TRY, LOCKED])
def test_a_token_that_the_next_wrong_pin_would_lock_is_shown_none(
    token: SoftToken, key: TokenKey, flag: int
) -> None:
    token.control("flags", flag)
    with pytest.raises(SealerStoppedError, match="takes no PIN"):
        key.sign(DATA)
    assert "login" not in token.log()
    token.control("fine")
    key.make()


def test_a_token_that_hangs_is_given_up_in_time_and_used_again(token: SoftToken) -> None:
    key = TokenKey(token.place(), within=timedelta(seconds=2))
    key.make()
    key.sign(DATA)
    token.control("hang", 60_000)
    began = time.monotonic()
    with pytest.raises(SealerStoppedError, match="gave no answer within 2 s"):
        key.sign(DATA)
    assert time.monotonic() - began < 30  # of the minute that it hangs
    token.control("fine")
    key.sign(DATA)
    key.close()


def test_a_token_pulled_out_and_put_back_signs_again(token: SoftToken, key: TokenKey) -> None:
    key.make()
    key.sign(DATA)
    token.control("gone")
    for _ in range(2):
        with pytest.raises(SealerStoppedError, match="does not sign"):
            key.sign(DATA)
    token.control("fine")
    key.sign(DATA)
    token.control("gone")
    with pytest.raises(SealerStoppedError):
        key.sign(DATA)
    token.control("fine")
    key.sign(DATA)


def test_a_module_that_crashes_costs_one_process_and_no_signature(
    token: SoftToken, key: TokenKey
) -> None:
    key.make()
    key.sign(DATA)
    process = key._process
    assert process is not None
    process.kill()
    process.wait()
    key.sign(DATA)


def test_whoever_waits_for_a_hanging_token_is_let_go_when_the_node_stops(token: SoftToken) -> None:
    key = TokenKey(token.place(), within=timedelta(seconds=50))
    key.make()
    token.control("hang", 60_000)
    failures: list[Exception] = []

    def sign() -> None:
        try:
            key.sign(DATA)
        except SealerStoppedError as error:
            failures.append(error)

    thread = threading.Thread(target=sign)
    thread.start()
    deadline = time.monotonic() + 60
    while "sign" not in token.log() and time.monotonic() < deadline:
        time.sleep(0.01)
    key.close()
    thread.join(60)
    assert not thread.is_alive()
    assert len(failures) == 1


def test_token_process_ends_with_a_program_that_was_killed(token: SoftToken) -> None:
    key = TokenKey(token.place())
    key.make()
    key.close()
    token.control("hang", 60_000)
    script = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from edockit.logs import set_up_logs\n"
        "from edockit.secrets import SecretPlace\n"
        "from edockit.token import TokenKey\n"
        "from edockit.token_messages import TokenPlace\n"
        "pin = SecretPlace('PIN', Path(sys.argv[2]), 'pin', 'pin')\n"
        f"place = TokenPlace(Path(sys.argv[1]), {TOKEN!r}, {KEY!r}, pin, Path('refused'))\n"
        "set_up_logs()\n"
        "key = TokenKey(place)\n"
        "key._start()\n"
        "print(key._process.pid, flush=True)\n"
        "key.sign(b'x')\n"
    )
    arguments = [str(token.proxy), str(token.pin_file)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        deadline = time.monotonic() + 60
        while "sign" not in token.log() and time.monotonic() < deadline:
            time.sleep(0.01)
        program.kill()
    deadline = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("module", "does not sign"),
        ("token", "does not sign"),
        ("key", "no private key with the label"),
        ("pin", "is in no file|cannot be read"),
    ],
)
def test_what_is_missing_is_named(token: SoftToken, what: str, words: str) -> None:
    made = TokenKey(token.place())
    made.make()
    made.close()
    place = token.place(
        key="none" if what == "key" else KEY, token="none" if what == "token" else TOKEN
    )
    if what == "module":
        token.proxy.unlink()
    if what == "pin":
        token.pin_file.unlink()
    key = TokenKey(place)
    with pytest.raises(SealerStoppedError, match=words):
        key.sign(DATA)


def test_pin_file_that_others_can_read_is_not_read(token: SoftToken, key: TokenKey) -> None:
    token.pin_file.chmod(0o640)
    with pytest.raises(SealerStoppedError, match="open to other users"):
        key.sign(DATA)
    assert token.log() == []


def test_key_of_another_certificate_signs_nothing(token: SoftToken, key: TokenKey) -> None:
    certificate = certified(key)
    other = TokenKey(token.place(key="another"))
    other.make()
    with pytest.raises(SealerStoppedError, match="does not fit the seal's certificate"):
        TokenSigner(other, certificate).sign(DATA)
    other.close()


def test_rsa_key_in_the_token_seals_in_suite_3(token: SoftToken, key: TokenKey) -> None:
    script = (
        "import sys, pkcs11\n"
        "token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])\n"
        "session = token.open(rw=True, user_pin=sys.argv[3])\n"
        "public, _ = session.generate_keypair(\n"
        "    pkcs11.KeyType.RSA, 2048, store=True, label=sys.argv[4])\n"
        "sys.stdout.write(public[pkcs11.Attribute.MODULUS].hex())\n"
    )
    arguments = [str(token.proxy), TOKEN, PIN, KEY]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    public = RSAPublicNumbers(65537, int(done.stdout, 16)).public_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "H29")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(new_private_key(), hashes.SHA256())
    )
    signer = TokenSigner(key, certificate)
    assert signer.suite == 3
    verify_signature(public, 3, DATA, signer.sign(DATA))
    assert signer.certificate_digest
    assert certificate.public_bytes(Encoding.DER)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
