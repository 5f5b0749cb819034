"""A private key in a PKCS#11 token: a card, an HSM, or a file that acts as one.

The token is held by a process of its own (``token_worker``) that this side starts, asks and
outlives: a module that hangs is ended after ``WITHIN``, one that crashes costs itself alone, and
what signs next starts anew. Everything here may block; callers on an event loop use a thread.

Tokens lock after a few wrong PINs, so a PIN that was refused is never shown to the token again,
neither in a loop nor by a service manager that starts the program over and over: a salted hash of
it is kept in a file until the PIN is another one.
"""

import hashlib
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.utils import Buffer

from edoccore.errors import EdocError, KeyUnusableError, SealerStoppedError, SealInvalidError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import SEAL_CONTEXT, low_s, verify_signature
from edoccore.identity.suites import Suite, known_key, suite_of
from edoccore.signing.readers import reader_of
from edockit.files import write_file_atomic
from edockit.token_messages import SignOrder, TokenAnswer, TokenFailure, TokenOrder, TokenPlace

WITHIN = timedelta(seconds=10)  # one signature, or start and login; cards take up to two seconds
MAX_ANSWER_BYTES = 1 << 16
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
_AGAIN = frozenset({TokenFailure.ABSENT, TokenFailure.FAILED})


class _Refusal(msgspec.Struct, frozen=True):
    salt: str
    scrypt: str


class _FailedError(Exception):
    """The token did not do it."""

    def __init__(self, failure: TokenFailure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


class TokenKey:
    """One key in a token. Safe to call from several threads, which take turns."""

    def __init__(self, place: TokenPlace, *, within: timedelta | None = None) -> None:
        """Takes where the key is; nothing is started before it is asked for.

        Args:
            within: The token is given up when one answer takes longer; default ``WITHIN``.
        """
        self._place = place
        self._within = (within or WITHIN).total_seconds()
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def make(self) -> ec.EllipticCurvePublicKey:
        """Makes the key in the token, never to leave it, unless it is there already.

        Raises:
            KeyUnusableError: It cannot be made, or the one of that label is unfit.
        """
        with self._turn:
            try:
                found = self._start(make=True)
            except _FailedError as error:
                raise self._told(error, KeyUnusableError) from error
        key = load_der_public_key(found)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    def sign(self, data: bytes) -> bytes:
        """Signs exact bytes with SHA-256: ECDSA as DER (either ``s``), or RSA PKCS #1 v1.5.

        Raises:
            SealerStoppedError: The token is away, hangs or refuses; says which, and what to do.
        """
        with self._turn:
            try:
                return self._signed(data)
            except _FailedError as error:
                raise self._told(error, SealerStoppedError) from error
            except KeyUnusableError as error:  # of the PIN
                raise SealerStoppedError(
                    error.message, hint=error.hint, token=self._place.token
                ) from error

    def close(self) -> None:
        """Ends the process at once, whoever waits for it; nothing is signed afterwards."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._turn:  # whoever has it is let go by that
            self._end()

    def _signed(self, data: bytes) -> bytes:
        used = self._process is not None
        try:
            if not used:
                self._start()
            return self._ask(SignOrder(data))
        except _FailedError as error:
            # What was found before may have been pulled out and put back since.
            if not used or self._closed or error.failure not in _AGAIN:
                raise
        self._start()
        return self._ask(SignOrder(data))

    def _start(self, *, make: bool = False) -> bytes:
        if find_spec("pkcs11") is None:
            raise _FailedError(TokenFailure.ABSENT, "the extra 'token' is not installed")
        if self._closed:
            raise _FailedError(TokenFailure.FAILED, "the node stops")
        self._end()
        pin = self._pin()
        place = self._place
        order = TokenOrder(
            module=str(place.module), token=place.token, key=place.key, pin=pin, make=make
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EDOC")}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-m", "edockit.token_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,  # modules find their own settings in it
            process_group=0,  # Ctrl-C is for the node, which still has to seal
        )
        try:
            public = self._ask(order)
        except _FailedError as error:
            if error.failure is TokenFailure.PIN_REFUSED:
                self._remember(pin)
            raise
        place.refused.unlink(missing_ok=True)
        return public

    def _pin(self) -> str:
        pin = self._place.pin.read_text()
        try:
            before = reader_of(_Refusal).decode(self._place.refused.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return pin
        if _hash(pin, bytes.fromhex(before.salt)) == before.scrypt:
            raise _FailedError(TokenFailure.PIN_REFUSED, "not shown to the token again")
        return pin

    def _remember(self, pin: str) -> None:
        salt = secrets.token_bytes(16)
        found = _Refusal(salt=salt.hex(), scrypt=_hash(pin, salt))
        write_file_atomic(self._place.refused, msgspec.json.encode(found) + b"\n")

    def _ask(self, order: TokenOrder | SignOrder) -> bytes:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        answer = b""
        if not self._closed:
            with suppress(BrokenPipeError):  # its end shows below
                process.stdin.write(msgspec.json.encode(order) + b"\n")
                process.stdin.flush()
            answer = self._line(process)
        if not answer.endswith(b"\n"):
            code = self._end()
            detail = "stopped" if self._closed else f"its module ended the process ({code})"
            raise _FailedError(TokenFailure.FAILED, detail)
        found = reader_of(TokenAnswer).decode(answer)
        if found.failure is not None:
            self._end()
            raise _FailedError(found.failure, found.detail)
        return found.data

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        """Reads up to a line end, or to the end of the process."""
        assert process.stdout is not None
        descriptor, until, line = process.stdout.fileno(), time.monotonic() + self._within, b""
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while not line.endswith(b"\n") and len(line) < MAX_ANSWER_BYTES:
            rest = until - time.monotonic()
            if rest <= 0 or not waiting.poll(rest * 1000):
                self._end()
                raise _FailedError(TokenFailure.HANGS, "no answer")
            piece = os.read(descriptor, MAX_ANSWER_BYTES)
            if not piece:
                break
            line += piece
        return line

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        return code

    def _told(self, error: _FailedError, kind: type[EdocError]) -> EdocError:
        message, hint = _words(error, self._place, self._within)
        return kind(message, hint=hint, token=self._place.token, key=self._place.key)


class TokenSigner:
    """See ``edoccore.identity.keys.Signer``; the key never leaves its token.

    Of a pair of suite 2 it is the classical half: no token that is known here holds ML-DSA.
    """

    is_quick = False

    def __init__(self, key: TokenKey, certificate: x509.Certificate) -> None:
        """Takes the key and the certificate that others know it by; asks the token nothing.

        Raises:
            SealCertificateError: No suite uses keys of this kind.
        """
        self._key = key
        self._public_key = known_key(certificate.public_key())
        self._digest = certificate_digest(certificate.public_bytes(Encoding.DER))
        self._suite = suite_of(self._public_key)

    @property
    def certificate_digest(self) -> str:
        """SHA-256 of the DER certificate of the key, lower hex."""
        return self._digest

    @property
    def suite(self) -> int:
        """Number of the suite of its signatures."""
        return int(self._suite)

    def sign(self, data: bytes, context: bytes = SEAL_CONTEXT) -> bytes:  # noqa: ARG002 - the port
        """Signs exact bytes; what the token gives is verified before anybody sees it.

        Raises:
            SealerStoppedError: The token does not sign, or not with the certificate's key.
        """
        signature = self._key.sign(data)
        try:
            if self._suite is Suite.ECDSA_P256_SHA256:
                signature = low_s(signature)
            verify_signature(self._public_key, self._suite, data, signature)
        except (ValueError, SealInvalidError) as error:
            raise SealerStoppedError(
                "The signature that the token made does not fit the seal's certificate.",
                hint="See that the setting seal_token names the key of this certificate.",
            ) from error
        return signature

    def close(self) -> None:
        """Lets go of the token."""
        self._key.close()


class TokenRequestKey(ec.EllipticCurvePrivateKey):
    """Stands for a key in a token where a certificate request is signed, and nowhere else."""

    def __init__(self, key: TokenKey) -> None:
        """Makes the key in the token unless it is there.

        Raises:
            KeyUnusableError: It cannot be made.
        """
        self._key = key
        self._public_key = key.make()

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public_key.key_size

    def sign(
        self,
        data: Buffer,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """Signs with SHA-256; ``signature_algorithm`` asks for nothing else."""
        assert signature_algorithm.algorithm.name == "sha256"  # type: ignore[union-attr]
        return self._key.sign(bytes(data))

    def exchange(self, *_: object) -> bytes:
        """A seal key agrees on no secret."""
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """They never leave the token."""
        raise NotImplementedError

    def private_bytes(self, *_: object) -> bytes:
        """They never leave the token."""
        raise NotImplementedError

    def __copy__(self) -> "TokenRequestKey":
        return self

    def __deepcopy__(self, _memo: dict[object, object]) -> "TokenRequestKey":
        return self


def _hash(pin: str, salt: bytes) -> str:
    return hashlib.scrypt(pin.encode(), salt=salt, dklen=32, **_SCRYPT).hex()


def _words(error: _FailedError, place: TokenPlace, within: float) -> tuple[str, str]:
    """What happened and what to do next."""
    token = place.token
    match error.failure:
        case TokenFailure.HANGS:
            return (
                f"The token '{token}' gave no answer within {within:g} s.",
                "See that it is plugged in and its driver runs. A node tries again by itself.",
            )
        case TokenFailure.PIN_REFUSED:
            return (
                f"The token '{token}' refused the PIN; it is not tried again: tokens lock.",
                _advice_on_pin(place),
            )
        case TokenFailure.PIN_LOCKED:
            return (
                f"The token '{token}' takes no PIN ({error.detail or 'locked'}).",
                "Unlock it with its maker's tool. A node tries again by itself.",
            )
        case TokenFailure.NO_KEY:
            return (
                f"The token '{token}' has no private key with the label '{place.key}'.",
                "Put in the token that has it; of a node, see the setting seal_token.",
            )
        case TokenFailure.KEY_UNFIT:
            return (
                f"The key '{place.key}' in token '{token}' cannot be used: {error.detail}.",
                "Choose another label for the key.",
            )
        case _:
            return (
                f"The token '{token}' does not sign ({error.detail}).",
                "Put it in and see that its driver runs. A node tries again by itself.",
            )


def _advice_on_pin(place: TokenPlace) -> str:
    if (pin := place.pin.path()) is not None:
        return f"Write the right PIN to {pin}; if it is right by now, remove {place.refused}."
    return f"Type the right PIN; if it was right, remove {place.refused}."
