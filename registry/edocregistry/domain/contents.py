"""What the directory is to say, taken from the records: identities, endpoints, revocations.

Only reads; what of it has to be signed anew is decided by ``publication``.
"""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from msgspec import UNSET
from msgspec.structs import replace

from edoccore.directory.endpoints import to_entry
from edoccore.directory.layout import (
    WIND_UP,
    AgencyState,
    IdentityEntry,
    NetworkInfo,
    OwnedCode,
    RevocationEntry,
    RevocationList,
    SealedEntry,
    SealListing,
    from_base64,
    to_base64,
)
from edoccore.signing import canonical, statements
from edoccore.signing.statements import time_text
from edocregistry.domain.agencies import predecessors
from edocregistry.domain.model import (
    Agency,
    Endpoint,
    Revocation,
    RevocationCrl,
    SealCertificate,
    SuiteMinimum,
)
from edocregistry.domain.ports import Records
from edocregistry.domain.publication import Contents


def directory_contents(
    records: Records, network: NetworkInfo, crls: Sequence[RevocationCrl], now: datetime
) -> Contents:
    """Collects everything that is to be published.

    Args:
        records: What the registry keeps.
        network: What holds for all.
        crls: The newest CRL of each issuing CA.
        now: Who has wound up by now is reached nowhere.
    """
    agencies = records.agencies()
    kin = predecessors(agencies)
    revocations, former = records.revocations(), records.former_authorities()
    seals: dict[str, list[SealCertificate]] = {}
    for certificate in records.seal_certificates():
        seals.setdefault(certificate.agency, []).append(certificate)
    owned: dict[str, list[Agency]] = {}
    for agency in agencies:
        if agency.owner is not None and agency.state is AgencyState.ACTIVE:
            owned.setdefault(agency.owner, []).append(agency)
    spaces = records.spaces()
    outside, minimums = records.outside_authorities(), records.suite_minimums()
    certificates = tuple(to_base64(item.certificate) for item in outside)
    lists = (
        *(crl.der for crl in crls),
        *(item.crl for item in former if item.crl),
        *(item.crl for item in outside if item.crl is not None),
    )
    return Contents(
        network=replace(network, outside_authorities=certificates),
        identities=[
            _identity(
                agency,
                owned.get(agency.code, ()),
                seals.get(agency.code, ()),
                kin.get(agency.code, ()),
                minimum=minimums.get(agency.code),
                spaces=spaces.get(agency.code, ()),
            )
            for agency in agencies
            if agency.owner is None
        ],
        endpoints=_endpoints(records, agencies, revocations, now),
        lists=_lists(records, revocations),
        revocations=RevocationList(
            entries=tuple(_revocation(item) for item in revocations),
            crls=tuple(map(to_base64, lists)),
        ),
    )


def with_lists_of(contents: Contents, network: NetworkInfo) -> Contents:
    """The same with revocation lists of the CAs alone that the directory will name.

    A CA that waits for the officers is none of the network's yet, and its list would be a fault.

    Args:
        contents: What the records want to be said.
        network: What the directory will say of the network.
    """
    known = {
        x509.load_der_x509_certificate(from_base64(text)).subject for text in network.authorities
    }
    crls = tuple(
        text
        for text in contents.revocations.crls
        if x509.load_der_x509_crl(from_base64(text)).issuer in known
    )
    return dataclasses.replace(contents, revocations=replace(contents.revocations, crls=crls))


def _identity(
    agency: Agency,
    owned: Sequence[Agency],
    seals: Sequence[SealCertificate],
    kin: Sequence[str],
    *,
    spaces: Sequence[str],
    minimum: SuiteMinimum | None,
) -> IdentityEntry:
    return IdentityEntry(
        code=agency.code,
        name=agency.name,
        aliases=agency.aliases,
        owns=tuple(OwnedCode(code=o.code, name=o.name, aliases=o.aliases) for o in owned),
        spaces=tuple(spaces),
        state=agency.state,
        valid_from=time_text(agency.valid_from),
        valid_to=UNSET if agency.valid_to is None else time_text(agency.valid_to),
        predecessors=tuple(kin),
        successors=agency.successors,
        seals=tuple(SealListing(certificate=to_base64(item.certificate)) for item in seals),
        minimum_suite=1 if minimum is None else minimum.suite,
        minimum_since=UNSET if minimum is None else time_text(minimum.since),
    )


def _endpoints(
    records: Records,
    agencies: Sequence[Agency],
    revocations: Sequence[Revocation],
    now: datetime,
) -> dict[str, SealedEntry]:
    """Endpoints of agencies that exist or wind up, under a seal that still counts."""
    silent = {
        agency.code
        for agency in agencies
        if agency.valid_to is not None and now >= agency.valid_to + WIND_UP
    }
    revoked = {item.sha256 for item in revocations}
    return {
        item.agency: to_entry(item.sealed())
        for item in records.endpoints()
        if item.agency not in silent and _seal_certificate(item) not in revoked
    }


def _lists(records: Records, revocations: Sequence[Revocation]) -> dict[str, SealedEntry]:
    """Lists of sub-agencies, of agencies that ended too, but none that a thief sealed."""
    worthless = {
        item.sha256: min(item.revoked_at, item.compromised_since or item.revoked_at)
        for item in revocations
    }
    found = {}
    for item in records.subagency_lists():
        seal = canonical.decode(item.seal, statements.Seal)
        since = worthless.get(seal.certificates[0])
        if since is None or statements.parse_time(seal.time) < since:
            found[item.agency] = to_entry(item.sealed())
    return found


def _seal_certificate(endpoint: Endpoint) -> str:
    return canonical.decode(endpoint.seal, statements.Seal).certificates[0]


def _revocation(item: Revocation) -> RevocationEntry:
    since = item.compromised_since
    return RevocationEntry(
        kind=item.kind,
        sha256=item.sha256,
        agency=item.agency,
        reason=item.reason,
        revoked_at=time_text(item.revoked_at),
        compromised_since=UNSET if since is None else time_text(since),
    )
