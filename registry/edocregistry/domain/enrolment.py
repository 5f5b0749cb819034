"""Who gets a seal certificate: invites, tokens and certificate requests.

A token is bound to one agency and, by its first use, to one key: the same token with the same key
repeats the same answer, so a lost answer costs nothing; any other key is refused. The caller runs
each of these functions inside one transaction, one at a time, so of two uses at once the second
sees the first.

Why a token is refused is not told to the caller: it would help only somebody who guesses.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from edoccore.errors import QuotaError, RequestInvalidError, TokenRefusedError
from edoccore.identity.certificate import UNREADABLE, certificate_digest, second_key
from edoccore.identity.request import SealRequest
from edoccore.identity.suites import Suite, is_at_least
from edocregistry.domain.agencies import active_agency, check_has_node
from edocregistry.domain.model import REGISTRY_CODE, Agency, Invite, SealCertificate
from edocregistry.domain.ports import IssuingAuthority, Records
from edocregistry.domain.revoking import end_keys

MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=30)
MAX_REQUEST_BYTES = 4096
MAX_SECOND_REQUEST_BYTES = 8192
REPLACED = "replaced by a new enrolment"

REFUSALS_PER_CALLER = 10  # within the window; then the caller waits
REFUSALS_IN_ALL = 300
REFUSAL_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RequestedKeys:
    """The keys of a request whose holder proved to have them.

    Attributes:
        first_sha256: Of the P-256 key (SubjectPublicKeyInfo, DER), 32 bytes.
        second: The other of a pair.
    """

    first_sha256: bytes
    second: MLDSA65PublicKey | None

    @property
    def suite(self) -> int:
        """With which a certificate for them seals."""
        return Suite.ECDSA_P256_SHA256 if self.second is None else Suite.ECDSA_P256_MLDSA65


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a node gets for its token.

    Attributes:
        certificate: Of its seal key.
        chain: Issuers (DER), nearest first, up to the anchor.
        version: Of the directory that lists it.
    """

    certificate: SealCertificate
    chain: tuple[bytes, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The next certificate, and whether officers have to sign before it is listed."""

    enrolled: Enrolled
    waits: bool


def make_invite(
    records: Records, code: str, *, token_sha256: bytes, ttl: timedelta, now: datetime
) -> Invite:
    """Gives an agency the right to enrol once; invites before that were not used end.

    Args:
        records: Where invites are kept.
        code: The agency.
        token_sha256: Hash of the secret that the caller made.
        ttl: How long it can be used, 1 minute to 30 days.
        now: From here on.

    Raises:
        RequestInvalidError: The time to live is out of bounds, or the agency has no node.
        AgencyUnknownError, AgencyInactiveError: No such agency, or it is suspended or closed.
    """
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise RequestInvalidError("An invite holds for 1 minute to 30 days.", hint="Use --ttl 72h.")
    agency = active_agency(records, code, now)
    check_has_node(agency)
    if agency.code == REGISTRY_CODE:
        raise RequestInvalidError("The registry enrols itself; it cannot be invited.")
    records.withdraw_invites(agency.code, now)
    invite = Invite(
        token_sha256=token_sha256,
        agency=agency.code,
        created_at=now,
        expires_at=now + ttl,
        withdrawn_at=None,
        certificate_sha256=None,
    )
    records.add_invite(invite)
    return invite


def enrol(
    records: Records,
    authority: IssuingAuthority,
    *,
    token: bytes,
    request: SealRequest,
    agency_code: str,
    now: datetime,
) -> SealCertificate:
    """Issues the certificate that a token stands for, or repeats it.

    For an agency that has certificates already, the old ones and its TLS certificates end.

    Args:
        records: Where everything is kept.
        authority: Issues.
        token: As in the join string.
        request: For the seal key, or a pair.
        agency_code: Agency the caller believes to be; empty: it does not know.
        now: Moment of the call.

    Raises:
        TokenRefusedError: The token is not good, or not with this key.
        RequestInvalidError: The certificate request is not what it must be.
    """
    invite = records.invite(sha256(token).digest())
    if invite is None or invite.withdrawn_at is not None:
        raise TokenRefusedError(hint="Ask the registry's officer for a new join string.")
    agency = records.agency(invite.agency)
    if agency is None or agency_code not in {"", agency.code, *agency.aliases}:
        raise TokenRefusedError(hint="Ask the registry's officer for a new join string.")
    keys = requested_keys(request)
    if invite.certificate_sha256 is not None:
        return _repeat(records, invite.certificate_sha256, keys)
    if now >= invite.expires_at or not agency.is_active(now):
        raise TokenRefusedError(hint="Ask the registry's officer for a new join string.")
    check_new_key(records, keys.first_sha256)
    check_suite(records, agency.code, keys.suite)
    end_keys(records, agency.code, reason=REPLACED, now=now)
    certificate = issued(authority, request, keys, agency, now)
    records.add_seal_certificate(certificate)
    records.use_invite(invite.token_sha256, certificate.sha256)
    return certificate


def issued(
    authority: IssuingAuthority,
    request: SealRequest,
    keys: RequestedKeys,
    agency: Agency,
    now: datetime,
) -> SealCertificate:
    """Issues the certificate that a request asks for, once it was checked."""
    der = authority.issue(request, agency, now)
    return SealCertificate(
        sha256=certificate_digest(der),
        agency=agency.code,
        key_sha256=keys.first_sha256,
        certificate=der,
        issued_at=now,
    )


def check_suite(records: Records, code: str, suite: int) -> None:
    """Refuses a key whose seals nobody would accept.

    Raises:
        RequestInvalidError: Its suite is below the agency's minimum.
    """
    minimum = records.suite_minimums(code).get(code)
    if minimum is not None and not is_at_least(suite, minimum.suite):
        raise RequestInvalidError(
            f"{code} must seal with suite {minimum.suite} at least; the request is for {suite}.",
            hint=f"Write seal_suite = {minimum.suite} into the node's settings and ask again.",
            agency=code,
        )


def requested_keys(request: SealRequest) -> RequestedKeys:
    """Checks what asks for a certificate and returns its keys.

    Raises:
        RequestInvalidError: A part is damaged, not signed by its own key, for a key of another
            kind than ECDSA P-256 (and ML-DSA-65), or asks for more than a certificate for it.
    """
    first = _requested_key(request.first, MAX_REQUEST_BYTES)
    if not isinstance(first, ec.EllipticCurvePublicKey) or not isinstance(
        first.curve, ec.SECP256R1
    ):
        raise _request_invalid("its key is not ECDSA P-256")
    second: MLDSA65PublicKey | None = None
    if request.second:
        found = _requested_key(request.second, MAX_SECOND_REQUEST_BYTES)
        if not isinstance(found, MLDSA65PublicKey):
            raise _request_invalid("its second key is not ML-DSA-65")
        second = found
    spki = first.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return RequestedKeys(sha256(spki).digest(), second)


def is_for(certificate: SealCertificate, keys: RequestedKeys) -> bool:
    """Whether a certificate is for these keys, both of a pair."""
    return (
        certificate.key_sha256 == keys.first_sha256
        and second_key(x509.load_der_x509_certificate(certificate.certificate)) == keys.second
    )


def _requested_key(request: bytes, most: int) -> PublicKeyTypes:
    if len(request) > most:
        raise _request_invalid(f"it has more than {most} bytes")
    try:
        csr = x509.load_der_x509_csr(request)
        key = csr.public_key()
        signed_by_itself = csr.is_signature_valid
        asks_for_more = len(list(csr.attributes)) > 0  # extensions such as a SAN are attributes
        names = [attribute.oid for attribute in csr.subject]
    except UNREADABLE:
        raise _request_invalid("it cannot be read") from None
    if not signed_by_itself:
        raise _request_invalid("it is not signed with its own key")
    if asks_for_more or names not in ([], [NameOID.COMMON_NAME]):
        raise _request_invalid("it asks for names or extensions; the registry decides on those")
    return key


def _repeat(records: Records, certificate_sha256: str, keys: RequestedKeys) -> SealCertificate:
    certificate = records.seal_certificate(certificate_sha256)
    if certificate is None or not is_for(certificate, keys):
        raise TokenRefusedError(hint="Ask the registry's officer for a new join string.")
    revoked = {item.sha256 for item in records.revocations(certificate.agency)}
    if certificate.sha256 in revoked:
        raise TokenRefusedError(hint="Ask the registry's officer for a new join string.")
    return certificate


def check_new_key(records: Records, key_sha256: bytes) -> None:
    """Refuses a key that was certified before, for whomever.

    Raises:
        RequestInvalidError: It was.
    """
    if any(item.key_sha256 == key_sha256 for item in records.seal_certificates()):
        raise _request_invalid("its key was used before; make a new one")


def _request_invalid(why: str) -> RequestInvalidError:
    return RequestInvalidError(f"The certificate request is refused: {why}.")


class RefusalLimit:
    """Slows down whoever tries tokens; 128 bits cannot be guessed, but trying costs this machine.

    Not safe for threads; the caller holds a lock.
    """

    def __init__(self) -> None:
        self._refused: deque[tuple[datetime, str]] = deque()

    def check(self, caller: str, now: datetime) -> None:
        """Lets a caller try, unless it was refused too often within the last minute.

        Raises:
            QuotaError: It, or all callers together, must wait.
        """
        while self._refused and self._refused[0][0] <= now - REFUSAL_WINDOW:
            self._refused.popleft()
        mine = sum(1 for _, who in self._refused if who == caller)
        if mine >= REFUSALS_PER_CALLER or len(self._refused) >= REFUSALS_IN_ALL:
            raise QuotaError(
                "Too many join strings were refused; wait a minute.",
                hint="Check the join string, then try once more in a minute.",
                retry_after_s=str(int(REFUSAL_WINDOW.total_seconds())),
            )

    def note(self, caller: str, now: datetime) -> None:
        """Remembers that a caller was refused."""
        self._refused.append((now, caller))
