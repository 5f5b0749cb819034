"""Positions and cursors that tell an account nothing but its own place.

A position counts what all offices of a node get, so who sees two of them knows how much the others
received in between. An account therefore gets them enciphered under a key of its own, and gives
them back as they are; a made-up one is refused.
"""

import re
from base64 import b32decode, b32encode
from binascii import Error as NotBase32
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from edoccore.errors import RequestInvalidError

KEY_BYTES = 32
MAX_POSITION = 1 << 40  # a thousand documents a second for 34 years
MAX_CURSOR = 400  # characters
_ROUNDS = 8  # of a Feistel network over two halves of 32 bits; 4 are enough (Luby, Rackoff 1988)
_HALF = 0xFFFF_FFFF
_CURSOR = re.compile(r"[a-z2-7]{1,400}")


class Opaque:
    """The cipher of one account."""

    def __init__(self, key: bytes) -> None:
        """Takes the account's key, 32 bytes."""
        self._key = key
        self._cursors = AESSIV(key)

    def position(self, position: int) -> int:
        """Enciphers a position, 0 to 2^40 - 1; 0, which is before the first, stays 0."""
        if not position:
            return 0
        if position >= MAX_POSITION:
            raise ValueError(f"position {position} is out of range")
        left, right = position >> 32, position & _HALF
        for number in range(_ROUNDS):
            left, right = right, left ^ self._mixed(number, right)
        return left << 32 | right

    def read_position(self, given: int) -> int:
        """Reads a position that this account got.

        Raises:
            RequestInvalidError: It never got it.
        """
        if not given:
            return 0
        left, right = given >> 32, given & _HALF
        for number in reversed(range(_ROUNDS)):
            left, right = right ^ self._mixed(number, left), left
        position = left << 32 | right
        if not 0 < position < MAX_POSITION:  # one guess of 16 million would pass
            raise RequestInvalidError(
                f"{given} is no position.", hint="Give one back as you got it, from this account."
            )
        return position

    def cursor(self, cursor: str) -> str:
        """Enciphers the cursor of a list; an empty one, which ends it, stays empty."""
        if not cursor:
            return ""
        sealed = self._cursors.encrypt(cursor.encode(), None)
        return b32encode(sealed).decode().rstrip("=").lower()

    def read_cursor(self, given: str) -> str:
        """Reads a cursor that this account got.

        Raises:
            RequestInvalidError: It never got it.
        """
        if not given:
            return ""
        try:
            if len(given) > MAX_CURSOR or not _CURSOR.fullmatch(given):
                raise InvalidTag
            sealed = b32decode(given.upper() + "=" * (-len(given) % 8))
            return self._cursors.decrypt(sealed, None).decode()
        except (InvalidTag, NotBase32, UnicodeDecodeError, ValueError):
            raise RequestInvalidError(
                f"{given[:40]!r} is no cursor.", hint="Use `next` of the page before."
            ) from None

    def _mixed(self, number: int, half: int) -> int:
        text = bytes([number]) + half.to_bytes(4, "big")
        return int.from_bytes(blake2b(text, digest_size=4, key=self._key).digest(), "big")
