"""What an agency asks under its own seal: the certificate of its next key, the end of keys.

Whoever brings such a statement, the seal alone counts, as with endpoint statements. The caller runs
each function inside one transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from msgspec import UNSET

from edoccore.directory.layout import RevocationKind, from_base64
from edoccore.directory.view import Directory
from edoccore.errors import DirectoryInvalidError, RequestInvalidError, WrongNetworkError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.request import SealRequest
from edoccore.identity.suites import PublicKey
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SealTrust, check_membership, open_seal
from edoccore.signing.statements import KeyEnd, LogHolder, Seal, SealRenewal, parse_time
from edocregistry.domain.agencies import answering_agency
from edocregistry.domain.enrolment import (
    check_new_key,
    check_suite,
    is_for,
    issued,
    requested_keys,
)
from edocregistry.domain.model import Revocation, SealCertificate
from edocregistry.domain.ports import IssuingAuthority, Records
from edocregistry.domain.revoking import add_revocations, tls_certificates

MAX_IN_FORCE = 4  # seal certificates of one agency that hold at the same time
MAX_EVER = 60  # of an agency; its entry has room for 64

_Word = TypeVar("_Word", SealRenewal, KeyEnd, LogHolder)
HOLDER_AGE = timedelta(minutes=10)  # of the word of whoever shows a checkpoint; clocks differ


def renew_seal(
    records: Records,
    authority: IssuingAuthority,
    sealed: SealedStatement,
    directory: Directory,
    now: datetime,
) -> SealCertificate:
    """Issues the certificate of an agency's next seal key, or repeats it. The old one stays.

    Args:
        records: Where everything is kept.
        authority: Issues.
        sealed: An ``edoc.renewal/v1``, as received.
        directory: The one in force; says who may seal.
        now: Moment of the call.

    Raises:
        EdocError: A check of the seal failed; see ``signing.seal.open_seal``.
        AgencyInactiveError: The agency is suspended, or has ended and wound up.
        RequestInvalidError: The certificate request is not what it must be, its key was used
            before, or the agency has too many certificates.
    """
    word = _read(sealed, SealRenewal, directory, directory, now=now)
    agency = answering_agency(records, word.agency, now)
    request = _request_of(word)
    keys = requested_keys(request)
    mine = records.seal_certificates(agency.code)
    revoked = {item.sha256 for item in records.revocations(agency.code)}
    for known in mine:
        if known.sha256 not in revoked and is_for(known, keys):
            return known
    check_new_key(records, keys.first_sha256)
    check_suite(records, agency.code, keys.suite)
    _check_room(agency.code, [item for item in mine if item.sha256 not in revoked], len(mine), now)
    certificate = issued(authority, request, keys, agency, now)
    records.add_seal_certificate(certificate)
    return certificate


def end_own_keys(
    records: Records, sealed: SealedStatement, directory: Directory, now: datetime
) -> list[Revocation]:
    """Revokes certificates of an agency on its own word; returns those that were not yet.

    Args:
        records: Where everything is kept.
        sealed: An ``edoc.keyend/v1``, as received.
        directory: The one in force; says who may seal.
        now: They end here.

    Raises:
        EdocError: A check of the seal failed; see ``signing.seal.open_seal``.
        RequestInvalidError: A certificate is not one of the agency's, or the compromise lies in
            the future.
    """
    word = _read(sealed, KeyEnd, directory, _StillHeard(directory), now=now)
    since = None if word.compromised_since is UNSET else parse_time(str(word.compromised_since))
    if since is not None and since > now:
        raise RequestInvalidError("The time of the compromise lies in the future.")
    seals = {item.sha256: item for item in records.seal_certificates(word.agency)}
    tls = {certificate_digest(item) for item in tls_certificates(records, word.agency)}
    made = []
    for digest in word.certificates:
        seal = seals.get(digest)
        if seal is None and digest not in tls:
            raise RequestInvalidError(
                f"The certificate {digest[:16]}… is none of {word.agency}.",
                hint="Name certificates that the directory lists for the agency.",
            )
        made.append(
            Revocation(
                kind=RevocationKind.TLS if seal is None else RevocationKind.SEAL,
                sha256=digest,
                agency=word.agency,
                serial=None if seal is None else _serial(seal),
                reason=word.reason,
                revoked_at=now,
                compromised_since=since,
            )
        )
    return add_revocations(records, word.agency, made)


def agency_of_holder(sealed: SealedStatement, directory: Directory, now: datetime) -> LogHolder:
    """Reads who shows what it holds of the log.

    Args:
        sealed: An ``edoc.holder/v1``, as received.
        directory: The one in hand, perhaps an older one; says who may seal.
        now: Moment of the call.

    Raises:
        EdocError: A check of the seal failed; see ``signing.seal.open_seal``.
        RequestInvalidError: It was said at another time.
    """
    word = _read(sealed, LogHolder, directory, directory, now=now)
    if abs(now - parse_time(word.created)) > HOLDER_AGE:
        raise RequestInvalidError(
            f"{word.agency} showed what it holds of the log at {word.created}.",
            hint="Compare the clocks of the registry and of the node.",
        )
    return word


class _StillHeard:
    """Trust in the word of an agency that has ended and wound up, as far as it only takes away.

    Its keys are still listed, and nobody but it and the officers can end them.
    """

    def __init__(self, directory: Directory) -> None:
        """Takes the directory in force."""
        self._directory = directory

    def seal_key(self, seal: Seal, at: datetime) -> PublicKey:
        """As the directory's, but the end of the agency does not matter."""
        heard_at, end = self._directory.not_before(at), self._directory.end_of(seal.signer)
        if end is not None:
            heard_at = min(heard_at, end)
        return self._directory.seals.seal_key(seal, at, heard_at=heard_at)


def _read(
    sealed: SealedStatement,
    kind: type[_Word],
    directory: Directory,
    trust: SealTrust,
    *,
    now: datetime,
) -> _Word:
    """Checks 1 to 5, and that the agency speaks for itself."""
    seal = open_seal(sealed.seal, trust, network=directory.network, at=now)
    check_membership(seal.seal, sealed.statement, sealed.leaf, sealed.proof)
    word = canonical.decode(sealed.statement, kind)
    if word.network != directory.network:
        raise WrongNetworkError(f"The statement is for {word.network}, not {directory.network}.")
    if word.agency != seal.seal.signer:
        raise RequestInvalidError(
            f"{seal.seal.signer} cannot speak for the keys of {word.agency}.",
            hint="Each agency renews and ends its own keys alone.",
        )
    return word


def _request_of(word: SealRenewal) -> SealRequest:
    second = word.second if isinstance(word.second, str) else ""
    try:
        return SealRequest(from_base64(word.request), from_base64(second))
    except DirectoryInvalidError:
        raise RequestInvalidError("The certificate request is not base64.") from None


def _check_room(agency: str, good: Sequence[SealCertificate], ever: int, now: datetime) -> None:
    in_force = [
        item
        for item in good
        if x509.load_der_x509_certificate(item.certificate).not_valid_after_utc > now
    ]
    if len(in_force) >= MAX_IN_FORCE or ever >= MAX_EVER:
        raise RequestInvalidError(
            f"{agency} has {len(in_force)} seal certificates in force and had {ever} in all.",
            hint=f"At most {MAX_IN_FORCE} hold at once: revoke the oldest, or wait for its end.",
        )


def _serial(seal: SealCertificate) -> int:
    return x509.load_der_x509_certificate(seal.certificate).serial_number
