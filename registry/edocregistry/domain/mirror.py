"""Takes a directory that a node mirrored back into the records of a registry that lost them.

What is public comes back whole: agencies, codes, lists, seals, endpoints, revocations. What never
was in the directory does not: invites that were not used, the audit, sub-agencies that were
suspended.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edoccore.directory import endpoints, layout
from edoccore.directory.layout import (
    AgencyState,
    IdentityEntry,
    LogInfo,
    RevocationEntry,
    RevocationKind,
    RevocationList,
    SealedEntry,
    from_base64,
)
from edoccore.directory.view import Directory
from edoccore.identity.certificate import certificate_digest
from edoccore.signing import canonical, statements
from edoccore.signing.statements import parse_time
from edocregistry.domain.model import (
    Agency,
    Endpoint,
    FormerAuthority,
    OutsideAuthority,
    Revocation,
    SealCertificate,
    SubAgencyList,
    SuiteMinimum,
)
from edocregistry.domain.ports import Records
from edocregistry.domain.publication import RoleFile, targets_in


def take_over(
    records: Records, directory: Directory, now: datetime, *, own_authority: bytes
) -> None:
    """Brings the records to what a directory says; what they know besides stays.

    Args:
        records: Of the registry.
        directory: Verified.
        now: When it is taken over.
        own_authority: Certificate of the issuing CA in force here, DER.
    """
    known = {item.sha256 for item in records.seal_certificates()}
    serials: dict[str, int] = {}
    for entry in directory.identities.values():
        for agency in _agencies(entry, now):
            records.save_agency(agency)
        records.set_spaces(entry.code, entry.spaces)
        for certificate in _seals(entry):
            if certificate.sha256 not in known:
                records.add_seal_certificate(certificate)
            serials |= _serial(certificate, own_authority)
        _take_minimum(records, entry)
    current = _current(directory)
    for revocation in _revocations(_list(current), serials):
        records.add_revocation(revocation)
    for endpoint in _endpoints(current, now):
        before = records.endpoint(endpoint.agency)
        if before is None or before.counter < endpoint.counter:
            records.put_endpoint(endpoint)
    for found in directory.lists.values():
        known_list = records.subagency_list(found.agency)
        if known_list is None or known_list.counter < found.counter:
            made = SubAgencyList.of(found.agency, found.counter, found.sealed, now)
            records.put_subagency_list(made)
    _take_authorities(records, directory, _list(current), now, own_authority)
    _take_witnesses(records, directory)


def _take_witnesses(records: Records, directory: Directory) -> None:
    if isinstance(directory.info.log, LogInfo):
        for witness in directory.info.log.witnesses:
            records.put_witness(witness)
        records.set_witness_threshold(directory.info.log.threshold)


def _take_minimum(records: Records, entry: IdentityEntry) -> None:
    if isinstance(entry.minimum_since, str):
        minimum = SuiteMinimum(entry.minimum_suite, parse_time(entry.minimum_since))
        records.put_suite_minimum(entry.code, minimum)


def _agencies(entry: IdentityEntry, now: datetime) -> Iterator[Agency]:
    """An agency and the codes it owns; since when those exist the directory does not say."""
    yield Agency(
        code=entry.code,
        name=entry.name,
        aliases=entry.aliases,
        owner=None,
        state=entry.state,
        valid_from=parse_time(entry.valid_from),
        valid_to=parse_time(entry.valid_to) if isinstance(entry.valid_to, str) else None,
        successors=entry.successors,
    )
    for owned in entry.owns:
        yield Agency(
            code=owned.code,
            name=owned.name,
            aliases=owned.aliases,
            owner=entry.code,
            state=AgencyState.ACTIVE,
            valid_from=now,
            valid_to=None,
        )


def _seals(entry: IdentityEntry) -> Iterator[SealCertificate]:
    for listing in entry.seals:
        der = from_base64(listing.certificate)
        found = x509.load_der_x509_certificate(der)
        spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield SealCertificate(
            sha256=certificate_digest(der),
            agency=entry.code,
            key_sha256=sha256(spki).digest(),
            certificate=der,
            issued_at=found.not_valid_before_utc,
        )


def _serial(certificate: SealCertificate, own_authority: bytes) -> dict[str, int]:
    """The serial number for our own CRL; another authority's certificate has none there."""
    issued = x509.load_der_x509_certificate(certificate.certificate)
    if issued.issuer != x509.load_der_x509_certificate(own_authority).subject:
        return {}
    return {certificate.sha256: issued.serial_number}


def _current(directory: Directory) -> dict[str, RoleFile]:
    return {
        role: RoleFile.read(directory.files[layout.file_name(role, version)])
        for role, version in directory.versions.items()
    }


def _list(current: dict[str, RoleFile]) -> RevocationList:
    target = targets_in(current, layout.REVOCATIONS).targets[layout.REVOCATIONS_PATH]
    return layout.read_target(target, RevocationList)


def _revocations(listed: RevocationList, serials: dict[str, int]) -> Iterator[Revocation]:
    for item in listed.entries:
        yield Revocation(
            kind=RevocationKind(item.kind),
            sha256=item.sha256,
            agency=item.agency,
            serial=serials.get(item.sha256),
            reason=item.reason,
            revoked_at=parse_time(item.revoked_at),
            compromised_since=_since(item),
        )


def _since(item: RevocationEntry) -> datetime | None:
    since = item.compromised_since
    return parse_time(since) if isinstance(since, str) else None


def _endpoints(current: dict[str, RoleFile], now: datetime) -> Iterator[Endpoint]:
    for name in layout.bin_names(layout.ENDPOINTS):
        for target in targets_in(current, name).targets.values():
            sealed = endpoints.from_entry(layout.read_target(target, SealedEntry))
            said = canonical.decode(sealed.statement, statements.Endpoint)
            yield Endpoint.of(said.agency, said.counter, sealed, now)


def _take_authorities(
    records: Records, directory: Directory, listed: RevocationList, now: datetime, own: bytes
) -> None:
    for trusted in _outside(directory, listed, now):
        records.put_outside_authority(trusted)
    for authority in _authorities(directory, listed):
        if authority.certificate != own:
            records.add_former_authority(authority)


def _outside(
    directory: Directory, listed: RevocationList, now: datetime
) -> Iterator[OutsideAuthority]:
    """CAs outside the network, with the lists of revocations they gave."""
    crls = [x509.load_der_x509_crl(from_base64(text)) for text in listed.crls]
    for text in directory.info.outside_authorities:
        der = from_base64(text)
        subject = x509.load_der_x509_certificate(der).subject
        mine = [crl.public_bytes(Encoding.DER) for crl in crls if crl.issuer == subject]
        yield OutsideAuthority(
            sha256=certificate_digest(der),
            certificate=der,
            crl=mine[0] if mine else None,
            added_at=now,
        )


def _authorities(directory: Directory, listed: RevocationList) -> Iterator[FormerAuthority]:
    crls = [x509.load_der_x509_crl(from_base64(text)) for text in listed.crls]
    for text in directory.info.issuing_authorities:
        der = from_base64(text)
        subject = x509.load_der_x509_certificate(der).subject
        mine = [crl for crl in crls if crl.issuer == subject]
        yield FormerAuthority(der, mine[0].public_bytes(Encoding.DER) if mine else b"")
