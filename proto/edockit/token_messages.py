"""Where a token is, and what a program and the process that holds it say: a line of JSON each."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from edockit.secrets import Secret

MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Which key in which token.

    Attributes:
        module: The PKCS#11 library of the token's maker.
        token: Label of the token.
        key: Label of the private key in it.
        pin: The user's PIN.
        refused: File that remembers a PIN that was refused; its folder must exist when one is.
    """

    module: Path
    token: str
    key: str
    pin: Secret
    refused: Path


class TokenFailure(StrEnum):
    """Why the token did not do it."""

    ABSENT = "absent"  # module, token or reader are not there
    PIN_REFUSED = "pin_refused"
    PIN_LOCKED = "pin_locked"  # or one wrong attempt away from it
    NO_KEY = "no_key"
    KEY_UNFIT = "key_unfit"  # of another kind, or it may leave the token
    FAILED = "failed"
    HANGS = "hangs"  # found by the side that asks


class TokenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which token and key; the process logs in once.

    Attributes:
        make: Makes the key, ECDSA P-256, unless there is one of this label.
    """

    module: str
    token: str
    key: str
    pin: str
    make: bool = False


class SignOrder(msgspec.Struct, frozen=True):
    """Every further line: exact bytes to sign."""

    data: bytes


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to each line.

    Attributes:
        data: The public key as DER (SubjectPublicKeyInfo), or a signature as ``Signer`` has it.
        failure: Set when it was not done; the process ends after that.
        detail: What the module said, for the log and the message.
    """

    data: bytes = b""
    failure: TokenFailure | None = None
    detail: str = ""
