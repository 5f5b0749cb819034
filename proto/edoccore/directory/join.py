"""The join string: all an agency needs to enter a network, in one line.

``edoc1:<host>:<port>:<root-sha256>:<token>``; an IPv6 host stands in brackets.

- ``root-sha256``: 64 hex digits, SHA-256 of one ``N.root.json``; trust starts there.
- ``token``: 26 base32 characters for the 16 bytes of the secret, then 6 for the first 30 bits of
  the SHA-256 of everything before them (prefix, host, port, root and secret, as written). So a
  character altered anywhere in the string is found before anything is sent (all but one in 2^30).

The secret is shown once, to the agency's officer; it is never logged.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from hashlib import sha256

from edoccore.errors import JoinStringError

PREFIX = "edoc1"
TOKEN_BYTES = 16
MAX_JOIN_CHARACTERS = 400
_SECRET_CHARACTERS = 26
_CHECK_CHARACTERS = 6
_HOST = r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,253})"
_JOIN = re.compile(
    rf"{PREFIX}:{_HOST}:(?P<port>[1-9][0-9]{{0,4}}):(?P<root>[0-9a-f]{{64}}):(?P<token>[a-z2-7]{{32}})"
)
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinString:
    """What a join string says.

    Attributes:
        host: Name or address of the registry, without brackets.
        port: 1 to 65535.
        root_sha256: SHA-256 of the root file that is trusted, lower hex.
        token: The secret, 16 bytes; not shown by ``repr``.
    """

    host: str
    port: int
    root_sha256: str
    token: bytes = field(repr=False)

    @property
    def address(self) -> str:
        """host:port of the registry, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def format_join(join: JoinString) -> str:
    """Writes a join string.

    Raises:
        ValueError: The result could not be read back: host, port, hash or token is none.
    """
    secret = _base32(join.token)
    body = f"{PREFIX}:{join.address}:{join.root_sha256}:{secret}"
    text = body + _check_characters(body)
    try:
        read_back = parse_join(text)
    except JoinStringError as error:
        raise ValueError(f"no join string can be made of {join!r}") from error
    if read_back != join:
        raise ValueError(f"no join string can be made of {join!r}")
    return text


def parse_join(text: str) -> JoinString:
    """Reads a join string; white space around it is ignored.

    Raises:
        JoinStringError: Says which part is wrong; never repeats the token.
    """
    text = text.strip()
    if len(text) > MAX_JOIN_CHARACTERS:
        raise _damaged(f"it has {len(text)} characters, more than a join string can have")
    found = _JOIN.fullmatch(text)
    if found is None:
        raise _damaged(_reason(text))
    if int(found["port"]) > _MAX_PORT:
        raise _damaged(f"{found['port']} is no port")
    body, check = text[:-_CHECK_CHARACTERS], text[-_CHECK_CHARACTERS:]
    if check != _check_characters(body):
        raise _damaged("a character in it was altered: its check characters do not fit the rest")
    return JoinString(
        host=found["host"].strip("[]"),
        port=int(found["port"]),
        root_sha256=found["root"],
        token=_secret(found["token"][:_SECRET_CHARACTERS]),
    )


def _damaged(why: str) -> JoinStringError:
    return JoinStringError(
        f"The join string cannot be used: {why}.",
        hint="Copy it again, whole, or ask the registry's officer for a new one.",
    )


def _reason(text: str) -> str:
    parts = text.split(":")
    checks = (
        (not text, "it is empty"),
        (any(character.isspace() for character in text), "there is a space or line break in it"),
        (parts[0] != PREFIX, f"it does not begin with {PREFIX}:"),
        (len(parts) < 5, "its end is missing"),
        (len(parts[-1]) != 32, "its token does not have 32 characters"),
        (not re.fullmatch("[a-z2-7]+", parts[-1]), "its token has a character that none can have"),
        (len(parts) > 2 and len(parts[-2]) != 64, "its root fingerprint does not have 64 digits"),
        (
            len(parts) > 2 and not re.fullmatch("[0-9a-f]+", parts[-2]),
            "its root fingerprint has a character that is no lower-case hex digit",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "host or port in it are no address")


def _check_characters(body: str) -> str:
    return _base32(sha256(body.encode("ascii", "replace")).digest())[:_CHECK_CHARACTERS]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _secret(text: str) -> bytes:
    try:
        secret = base64.b32decode(text.upper() + "======")
    except binascii.Error as error:
        raise _damaged("its token is no base32") from error
    if _base32(secret) != text:
        raise _damaged("its token has a last character that no token has")
    return secret
