"""Timestamps of RFC 3161: asks an authority for one, and judges one that came from elsewhere.

A token says that somebody showed the authority a hash at a moment. What is stored and passed on is
the whole answer (TimeStampResp, DER), the form that ``openssl ts -verify -in`` reads. Trust comes
from the certificates that the caller names, never from the token.
"""

import asyncio
import http.client
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from edockit.http_connections import break_off

MAX_TOKEN_BYTES = 64 * 1024  # with its certificates; they take 2 to 8 KiB
MAX_SKEW = timedelta(minutes=5)  # between the authority's clock and ours when it is asked
PATIENCE_S = 20.0  # with all of one request, however slowly it is answered
_GRANTED, _GRANTED_WITH_MODS = 0, 1
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_QUERY = {"Content-Type": "application/timestamp-query"}


class TimeTokenError(Exception):
    """A timestamp cannot be had, or proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class TimeToken:
    """A timestamp that holds.

    Attributes:
        response: Exact bytes of the authority's answer, DER.
        at: When the authority saw the hash; aware, UTC.
        authority: Subject of its certificate, RFC 4514.
    """

    response: bytes
    at: datetime
    authority: str


def imprint_of(response: bytes) -> bytes:
    """The SHA-256 that a token is over; its signature is not looked at.

    Raises:
        TimeTokenError: The bytes hold no token, or one over another kind of hash.
    """
    return _imprint(_parse(response))


def check_token(
    response: bytes, data: bytes, anchors: Sequence[x509.Certificate], *, nonce: int | None = None
) -> TimeToken:
    """Checks that an authority stamped exactly these bytes.

    Its certificate must have been valid at the moment that the token states; whether it still is
    does not matter, evidence is old by nature.

    Args:
        data: What was shown to the authority, before hashing.
        anchors: Certificates of authorities that are trusted, roots and those below them.
        nonce: As asked for; None when that is not known.

    Raises:
        TimeTokenError: One of this does not hold; says which.

    Source: RFC 3161, 2.2 to 2.4.2.
    """
    answer = _parse(response)
    if _imprint(answer) != sha256(data).digest():
        raise TimeTokenError("it is a timestamp of something else")
    if not anchors:
        raise TimeTokenError("no timestamp authority is trusted here")
    try:
        VerifierBuilder(roots=list(anchors), nonce=nonce).build().verify(
            answer, sha256(data).digest()
        )
    except (VerificationError, ValueError) as error:
        raise TimeTokenError(_why(str(error))) from error
    info = answer.tst_info
    return TimeToken(response, info.gen_time, _signer_of(answer))


async def ask(
    url: str,
    data: bytes,
    anchors: Sequence[x509.Certificate],
    *,
    now: datetime,
    patience_s: float = PATIENCE_S,
) -> TimeToken:
    """Has an authority stamp bytes, of which it sees only the SHA-256, and checks what it says.

    Args:
        url: ``http://`` or ``https://``; redirects are not followed, proxies not asked.
        now: Aware, UTC; the authority's moment must be within ``MAX_SKEW`` of it.

    Raises:
        TimeTokenError: It does not answer in time, refuses, or its token does not hold.
    """
    query = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = await _post(url, query.as_bytes(), patience_s)
    token = check_token(answer, data, anchors, nonce=query.nonce)
    if abs(token.at - now) > MAX_SKEW:
        raise TimeTokenError(
            f"its clock says {token.at:%Y-%m-%d %H:%M:%S}, ours {now:%H:%M:%S} UTC"
        )
    return token


async def _post(url: str, body: bytes, patience_s: float) -> bytes:
    place = urlsplit(url)
    host = place.hostname or ""
    connection: http.client.HTTPConnection
    if place.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, place.port, timeout=patience_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, place.port, timeout=patience_s)
    held: list[socket.socket] = []  # an answer without length takes it from the connection
    path = (place.path or "/") + (f"?{place.query}" if place.query else "")
    try:
        async with asyncio.timeout(patience_s):
            return await asyncio.to_thread(_exchange, connection, path, body, held)
    except TimeoutError as error:
        raise TimeTokenError("it does not answer in time") from error
    finally:  # also when nobody waits any more: or its thread would, and there are few
        for each in held:
            break_off(each)


def _exchange(
    connection: http.client.HTTPConnection, path: str, body: bytes, held: list[socket.socket]
) -> bytes:
    try:
        connection.connect()
        held.append(connection.sock)
        connection.request("POST", path, body=body, headers=_QUERY)
        answer = connection.getresponse()
        content = answer.read(MAX_TOKEN_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise TimeTokenError(f"it does not answer: {str(error)[:200]}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise TimeTokenError(f"it answers with {answer.status}")
    return content


def _parse(response: bytes) -> TimeStampResponse:
    if len(response) > MAX_TOKEN_BYTES:
        raise TimeTokenError(f"its answer is over {MAX_TOKEN_BYTES} bytes")
    try:
        answer = decode_timestamp_response(response)
        status = answer.status
        if status not in (_GRANTED, _GRANTED_WITH_MODS):
            told = "; ".join(answer.status_string)[:200] if answer.status_string else ""
            raise TimeTokenError(f"it refuses (status {status}) {told}".rstrip())
        answer.tst_info.gen_time  # noqa: B018 - made when read
    except (ValueError, TypeError) as error:
        raise TimeTokenError("its answer is no timestamp") from error
    return answer


def _imprint(answer: TimeStampResponse) -> bytes:
    try:
        imprint = answer.tst_info.message_imprint
        algorithm, message = imprint.hash_algorithm, imprint.message
    except (ValueError, TypeError) as error:
        raise TimeTokenError("its answer is no timestamp") from error
    if algorithm != _SHA256:
        raise TimeTokenError("it is over another hash than SHA-256")
    return message


def _why(told: str) -> str:
    """What openssl found, without where in its source it did."""
    found = re.search(r"Verify error: ([^\"]+)", told) or re.search(r'reason: "([^"]+)"', told)
    return found[1] if found else told.strip()[:300]


def _signer_of(answer: TimeStampResponse) -> str:
    signer = next(iter(answer.signed_data.signer_infos))
    for der in answer.signed_data.certificates:
        certificate = x509.load_der_x509_certificate(der)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate.subject.rfc4514_string()
    return signer.issuer.rfc4514_string()
