"""The process that holds a PKCS#11 token: logs in once, signs line by line, ends at any failure.

A process of its own, because a module is foreign code: it may hang, crash, or hold the
interpreter's lock while a card thinks, and the node must go on keeping documents meanwhile. The
next process begins with the module's own initialisation, which is also how a token that was
pulled out and put back is found again. Needs the extra ``token``.

Source: PKCS #11 v2.40, 4.8 (attributes of private keys), 5.6 (sessions and C_Login).
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any, BinaryIO, TypeVar

import msgspec
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag
from pkcs11.exceptions import (
    DeviceRemoved,
    NoSuchKey,
    NoSuchToken,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    TokenNotPresent,
    TokenNotRecognised,
)
from pkcs11.util.ec import (
    encode_ec_public_key,
    encode_ecdsa_signature,
    encode_named_curve_parameters,
)

from edoccore.signing.readers import reader_of
from edockit.secrets import keep_out_of_dumps
from edockit.token_messages import (
    MAX_LINE_BYTES,
    SignOrder,
    TokenAnswer,
    TokenFailure,
    TokenOrder,
)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CURVE = encode_named_curve_parameters("secp256r1")
_FAILURES: tuple[tuple[tuple[type[Exception], ...], TokenFailure], ...] = (
    ((PinIncorrect, PinInvalid, PinLenRange), TokenFailure.PIN_REFUSED),
    ((PinLocked,), TokenFailure.PIN_LOCKED),
    ((NoSuchKey,), TokenFailure.NO_KEY),
    ((NoSuchToken, TokenNotPresent, TokenNotRecognised, DeviceRemoved), TokenFailure.ABSENT),
)


T = TypeVar("T")


class _UnfitError(Exception):
    """The token, or the key in it, is not to be used; ``failure`` says why."""

    def __init__(self, failure: TokenFailure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


def main() -> None:
    """Serves one program over standard input and output until it goes away."""
    keep_out_of_dumps()
    _end_with_parent()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    line = source.readline(MAX_LINE_BYTES)
    if not line:
        return
    order = reader_of(TokenOrder).decode(line)
    key = _tried(sink, lambda: _key_of(order))
    if key is None:
        return
    public = _tried(sink, lambda: _public_key(key, order) if order.make else b"")
    if public is None:
        return
    _answer(sink, TokenAnswer(data=public))
    while line := source.readline(MAX_LINE_BYTES):
        data = reader_of(SignOrder).decode(line).data
        signature = _tried(sink, lambda data=data: _signature(key, data))  # type: ignore[misc]
        if signature is None:
            return
        _answer(sink, TokenAnswer(data=signature))


def _tried(sink: BinaryIO, work: Callable[[], T]) -> T | None:
    """Does it, or says what failed; then the process ends."""
    try:
        return work()
    except _UnfitError as error:
        _answer(sink, TokenAnswer(failure=error.failure, detail=str(error)))
    except (PKCS11Error, OSError) as error:
        found = [kind for types, kind in _FAILURES if isinstance(error, types)]
        detail = f"{type(error).__name__} {error}".strip()
        _answer(sink, TokenAnswer(failure=(found or [TokenFailure.FAILED])[0], detail=detail))
    return None


def _key_of(order: TokenOrder) -> Any:  # noqa: ANN401 - the library gives private keys many types
    """Logs in, once, and finds the private key, or makes it."""
    token = _token(order)
    if TokenFlag.USER_PIN_LOCKED in token.flags:
        raise _UnfitError(TokenFailure.PIN_LOCKED, "the token has locked the PIN")
    if TokenFlag.USER_PIN_FINAL_TRY in token.flags:
        raise _UnfitError(TokenFailure.PIN_LOCKED, "one more wrong PIN would lock the token")
    session = token.open(rw=order.make, user_pin=order.pin)
    try:
        key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=order.key)
    except NoSuchKey:
        if not order.make:
            raise
        key = _make(session, order.key)
    if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
        raise _UnfitError(TokenFailure.KEY_UNFIT, "the key may be read out of the token")
    return key


def _token(order: TokenOrder) -> pkcs11.Token:
    try:
        library = pkcs11.lib(order.module)
    except (PKCS11Error, RuntimeError) as error:
        raise _UnfitError(TokenFailure.ABSENT, f"{type(error).__name__} {error}") from error
    return library.get_token(token_label=order.token)


def _make(session: pkcs11.Session, label: str) -> Any:  # noqa: ANN401 - as above
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: _CURVE}, local=True
    )
    _, key = parameters.generate_keypair(
        id=os.urandom(16),
        label=label,
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )
    return key


def _public_key(key: Any, order: TokenOrder) -> bytes:  # noqa: ANN401 - as above
    """The public half, DER (SubjectPublicKeyInfo), of a key that was made or found again."""
    if key.key_type is not KeyType.EC or key[Attribute.EC_PARAMS] != _CURVE:
        raise _UnfitError(TokenFailure.KEY_UNFIT, "the key is not ECDSA P-256")
    if not key[Attribute.NEVER_EXTRACTABLE]:
        raise _UnfitError(TokenFailure.KEY_UNFIT, "the key was not made in the token")
    public = key.session.get_key(
        object_class=ObjectClass.PUBLIC_KEY, label=order.key, id=key[Attribute.ID]
    )
    return encode_ec_public_key(public)


def _signature(key: Any, data: bytes) -> bytes:  # noqa: ANN401 - as above
    """ECDSA as DER, RSA as PKCS #1 v1.5; over SHA-256 of the data."""
    if key.key_type is KeyType.EC:
        raw = key.sign(sha256(data).digest(), mechanism=Mechanism.ECDSA)
        return encode_ecdsa_signature(bytes(raw))
    return bytes(key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS))


def _answer(sink: BinaryIO, answer: TokenAnswer) -> None:
    sink.write(msgspec.json.encode(answer) + b"\n")
    sink.flush()


def _end_with_parent() -> None:
    """Ends this process with the one that started it, also while a module hangs."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)


if __name__ == "__main__":
    main()
