"""Which certificate seals for which agency, and at which moments.

A seal counts when its certificate is listed for its signer, leads to an issuing authority of the
network, and was valid and not revoked at the moment that matters. ``SealBook`` answers for a seal
that arrives now; ``PastSeals`` for one whose time was proven by somebody else. Statements and
signatures are checked by ``edoccore.signing.seal``.

Source: proto/README.md, Numbered checks, 3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.directory.layout import (
    IdentityEntry,
    RetiredAuthority,
    SealListing,
    from_base64,
)
from edoccore.directory.ownership import Agency
from edoccore.directory.remembering import Remembered
from edoccore.directory.revocations import Revocation, Revocations, Serial, key_digest
from edoccore.errors import AgencyUnknownError, DirectoryInvalidError, SealCertificateError
from edoccore.identity.certificate import (
    certificate_digest,
    certified_key,
    check_seal_certificate,
    read_certificate,
)
from edoccore.identity.chain import verify_chain
from edoccore.identity.keys import PublicKey
from edoccore.identity.suites import is_at_least
from edoccore.signing.statements import Seal, parse_time


@dataclass(frozen=True, slots=True, eq=False)
class ListedSeal:
    """A seal certificate, of one key or a pair, whose profile and chain were checked.

    Equal only to itself.

    Attributes:
        chain: DER of the certificate, of its issuers, of the issuing authority.
        digests: SHA-256 of each; what a seal's ``certificates`` must be.
        serials: Issuer and serial number of each but the authority.
        not_before: From here all of the chain is valid.
        not_after: Until here.
    """

    agency: str
    chain: tuple[bytes, ...]
    digests: tuple[str, ...]
    serials: tuple[Serial, ...]
    not_before: datetime
    not_after: datetime

    @property
    def key(self) -> PublicKey:
        """The key, or pair, that it seals with; read when asked for, few of a nation's keys are."""
        return _key_of(self.chain[0])

    def revocation(self, known: Revocations) -> Revocation | None:
        """The earliest revocation of a certificate of the chain, if any."""
        found = [
            known.find(digest, serial)
            for digest, serial in zip(self.digests, (*self.serials, None), strict=True)
        ]
        ends = [revocation for revocation in found if revocation is not None]
        return min(ends, key=lambda item: item.worthless_from, default=None)

    def is_valid(self, at: datetime) -> bool:
        """Whether all certificates of the chain are within their dates."""
        return self.not_before <= at <= self.not_after


_Listing = tuple[str, SealListing, tuple[str, ...]]  # of an agency, under these authorities
_read: Remembered[_Listing, ListedSeal] = Remembered(16384)  # 0.2 ms each; read at every refresh


def remember_listing(
    agency: str, listing: SealListing, authorities: tuple[str, ...], *, listed: ListedSeal
) -> None:
    """Keeps what ``read_listing`` gave once, so that it gives it again without checking."""
    _read.put((agency, listing, authorities), listed)


def read_listing(agency: str, listing: SealListing, authorities: tuple[str, ...]) -> ListedSeal:
    """Checks one listed seal certificate.

    Args:
        agency: Whose entry lists it.
        listing: Certificate and issuers.
        authorities: Base64 DER of the network's issuing authorities.

    Raises:
        SealCertificateError: Unreadable, of the wrong kind, or not issued under an authority.
    """
    return _read.get(
        (agency, listing, authorities), lambda: _check_listing(agency, listing, authorities)
    )


def _check_listing(agency: str, listing: SealListing, authorities: tuple[str, ...]) -> ListedSeal:
    try:
        leaf, *issuers = [_load(text) for text in (listing.certificate, *listing.issuers)]
        anchors = [_load_authority(text) for text in authorities]
        check_seal_certificate(leaf, leaf.not_valid_before_utc)
    except (ValueError, DirectoryInvalidError) as error:
        raise SealCertificateError(
            f"A seal certificate of {agency} is unreadable: {error}.", agency=agency
        ) from error
    return _listed(agency, _chain(leaf, issuers, anchors, agency=agency))


class SealBook:
    """All seal certificates of a directory; answers ``signing.seal.SealTrust`` for now."""

    def __init__(
        self,
        entries: Iterable[IdentityEntry],
        agencies: Mapping[str, Agency],
        *,
        authorities: tuple[str, ...],
        revocations: Revocations,
        retired: Iterable[RetiredAuthority] = (),
    ) -> None:
        """Checks and indexes the listed certificates.

        Args:
            entries: All identity entries.
            agencies: By owner's code.
            authorities: Base64 DER of the network's issuing authorities.
            revocations: All that is known.
            retired: Authorities that issue no more; of two moments the earlier one holds.
        """
        self.retired: dict[str, datetime] = {}
        for item in retired:
            since = parse_time(item.since)
            self.retired[item.sha256] = min(since, self.retired.get(item.sha256, since))
        self.problems: list[str] = []
        self.revocations = revocations
        self._agencies = agencies
        self._seals: dict[tuple[str, str], ListedSeal] = {}
        for entry in entries:
            for listing in entry.seals:
                self._add(entry.code, listing, authorities)

    def _add(self, agency: str, listing: SealListing, authorities: tuple[str, ...]) -> None:
        try:
            listed = read_listing(agency, listing, authorities)
        except SealCertificateError as error:
            self.problems.append(error.message)
            return
        since = self.retired.get(listed.digests[-1])
        if since is not None and listed.not_before > since:
            self.problems.append(
                f"The certificate {listed.digests[0][:16]}… of {agency} was issued by an authority "
                f"that had been retired at {since.isoformat()}."
            )
            return
        self._seals[agency, listed.digests[0]] = listed

    def listed(self, agency: str, digest: str) -> ListedSeal:
        """A certificate of an agency, whatever became of it.

        Raises:
            AgencyUnknownError: There is no such agency with a seal of its own.
            SealCertificateError: The certificate is not listed for it.
        """
        if agency not in self._agencies:
            raise AgencyUnknownError(
                f"The seal is by {agency}, which is no agency of the directory.", code=agency
            )
        found = self._seals.get((agency, digest))
        if found is None:
            raise _refused(agency, "it is not listed for that agency", digest=digest)
        return found

    def current(self, agency: str, at: datetime) -> list[ListedSeal]:
        """The certificates with which an agency may seal at a moment, the newest first."""
        usable = [
            listed
            for (owner, _), listed in self._seals.items()
            if owner == agency
            and listed.is_valid(at)
            and listed.revocation(self.revocations) is None
        ]
        return sorted(usable, key=lambda item: item.not_before, reverse=True)

    def seal_key(self, seal: Seal, at: datetime, *, heard_at: datetime | None = None) -> PublicKey:
        """Finds the key for a seal that arrives now.

        Args:
            seal: As decoded.
            at: Now.
            heard_at: The moment of the signer's life, if more than our clock is known of it.

        Raises:
            AgencyUnknownError: The signer is not in the directory.
            SealCertificateError: The certificate is not the signer's, was not valid at ``at`` and
                at the seal's own time, is revoked, or the signer neither is active nor winds up.
                What it may still say while it winds up is for the statement's own check.
        """
        listed = self.check_seal(seal, at)
        revocation = listed.revocation(self.revocations)
        if revocation is not None:
            raise _revoked(seal, revocation)
        if not self._agencies[seal.signer].answers(heard_at or at):
            raise _refused(
                seal.signer,
                f"the agency is {self._agencies[seal.signer].state.lower()} or not in office then",
                digest=seal.certificates[0],
            )
        return listed.key

    def check_seal(self, seal: Seal, at: datetime) -> ListedSeal:
        """Checks all but revocation and the life of the agency, for a seal that arrives now.

        Raises:
            AgencyUnknownError, SealCertificateError: As ``seal_key``.
        """
        if self.weak_since(seal.signer, seal.suite) is not None:
            raise _weak(seal)
        return self._check(seal, at)

    def check_past_seal(self, seal: Seal, at: datetime) -> ListedSeal:
        """The same for a seal that existed at a moment, as is or will be proven elsewhere.

        Raises:
            AgencyUnknownError, SealCertificateError: As ``seal_key``; a suite below the agency's
                minimum counts from the moment on at which that was set.
        """
        since = self.weak_since(seal.signer, seal.suite)
        if since is not None and at >= since:
            raise _weak(seal)
        return self._check(seal, at)

    def weak_since(self, signer: str, suite: int) -> datetime | None:
        """Since when a suite is below an agency's minimum; None: it is not, or nobody has it."""
        agency = self._agencies.get(signer)
        if agency is None or is_at_least(suite, agency.minimum_suite):
            return None
        return agency.minimum_since

    def _check(self, seal: Seal, at: datetime) -> ListedSeal:
        listed = self.listed(seal.signer, seal.certificates[0])
        if seal.certificates != listed.digests:
            raise _refused(seal.signer, "the seal names other issuers", digest=seal.certificates[0])
        for moment in (at, _time_of(seal)):
            if not listed.is_valid(moment):
                raise _refused(
                    seal.signer,
                    f"it was not valid at {moment.isoformat()}",
                    digest=seal.certificates[0],
                )
        return listed


@dataclass(frozen=True, slots=True)
class PastSeals:
    """Answers ``SealTrust`` for a seal that existed, as somebody else proves, at a moment.

    So a certificate revoked later, or an agency that ended later, does not spoil old evidence.
    """

    book: SealBook
    agencies: Mapping[str, Agency]

    def seal_key(self, seal: Seal, at: datetime) -> PublicKey:
        """Finds the key for a seal of the past.

        Args:
            seal: As decoded.
            at: A moment at which the seal was proven to exist.

        Raises:
            AgencyUnknownError: The signer is not in the directory.
            SealCertificateError: As ``SealBook.seal_key``, but a revocation counts only from the
                moment of compromise or, when none is known, of revocation on, and the agency's
                minimum suite from when it was set.
        """
        listed = self.book.check_past_seal(seal, at)
        revocation = listed.revocation(self.book.revocations)
        if revocation is not None and at >= revocation.worthless_from:
            raise _revoked(seal, revocation)
        if not self.agencies[seal.signer].existed(at):
            raise _refused(
                seal.signer, "the agency did not exist then", digest=seal.certificates[0]
            )
        return listed.key


def _chain(
    leaf: x509.Certificate,
    issuers: list[x509.Certificate],
    anchors: list[x509.Certificate],
    *,
    agency: str,
) -> tuple[x509.Certificate, ...]:
    """Finds the authority behind a certificate; a renewed one has several certificates."""
    refusals = []
    for anchor in anchors:
        start = max(item.not_valid_before_utc for item in (leaf, *issuers, anchor))
        try:
            return verify_chain(leaf, issuers, anchors=[anchor], at=start).certificates
        except SealCertificateError as error:
            refusals.append(error.message)
    reasons = " ".join(refusals) or "The network has none."
    raise SealCertificateError(
        f"A seal certificate of {agency} does not lead to an authority of the network. {reasons}",
        agency=agency,
    )


def _listed(agency: str, chain: tuple[x509.Certificate, ...]) -> ListedSeal:
    leaf, *issuers = chain
    encoded = leaf.public_bytes(Encoding.DER)
    shared = [_issuer(issuer) for issuer in issuers]
    return ListedSeal(
        agency=agency,
        chain=(encoded, *(issuer.encoded for issuer in shared)),
        digests=(certificate_digest(encoded), *(issuer.digest for issuer in shared)),
        serials=tuple(
            (issuer.key_digest, certificate.serial_number)
            for certificate, issuer in zip(chain, shared, strict=False)
        ),
        not_before=max(certificate.not_valid_before_utc for certificate in chain),
        not_after=min(certificate.not_valid_after_utc for certificate in chain),
    )


class _Issuer(NamedTuple):
    """What thousands of listed certificates share."""

    encoded: bytes
    digest: str
    key_digest: str


@lru_cache(maxsize=1024)
def _issuer(certificate: x509.Certificate) -> _Issuer:
    encoded = certificate.public_bytes(Encoding.DER)
    return _Issuer(encoded, certificate_digest(encoded), key_digest(certificate))


@lru_cache(maxsize=1024)  # 50 us each; 4 KB
def _key_of(certificate: bytes) -> PublicKey:
    return certified_key(x509.load_der_x509_certificate(certificate))


@lru_cache(maxsize=64)
def _load_authority(text: str) -> x509.Certificate:
    return _load(text)


def _load(text: str) -> x509.Certificate:
    return read_certificate(from_base64(text))


def _time_of(seal: Seal) -> datetime:
    try:
        return parse_time(seal.time)
    except ValueError as error:
        raise _refused(
            seal.signer, "the seal names no real time", digest=seal.certificates[0]
        ) from error


def _weak(seal: Seal) -> SealCertificateError:
    return _refused(
        seal.signer,
        f"suite {seal.suite} is weaker than the agency's minimum",
        digest=seal.certificates[0],
    )


def _revoked(seal: Seal, revocation: Revocation) -> SealCertificateError:
    return _refused(
        seal.signer,
        f"it was revoked at {revocation.revoked_at.isoformat()} ({revocation.reason})",
        digest=seal.certificates[0],
    )


def _refused(agency: str, why: str, *, digest: str) -> SealCertificateError:
    return SealCertificateError(
        f"The certificate {digest[:16]}… cannot seal for {agency}: {why}.",
        agency=agency,
        certificate=digest,
    )
