"""What the directory is to say, taken from the records: identities, endpoints, revocations.

Only reads; what of it has to be signed anew is decided by ``publication``.
"""

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from edoccore.directory.endpoints import to_entry
from edoccore.directory.layout import (
    AgencyState,
    EndpointEntry,
    IdentityEntry,
    NetworkInfo,
    OwnedCode,
    RevocationEntry,
    RevocationList,
    SealListing,
    to_base64,
)
from edoccore.signing import canonical, statements
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import time_text
from edocregistry.domain.model import Agency, Endpoint, Revocation, RevocationCrl, SealCertificate
from edocregistry.domain.ports import Records
from edocregistry.domain.publication import Contents


def directory_contents(
    records: Records, network: NetworkInfo, crls: Sequence[RevocationCrl]
) -> Contents:
    """Collects everything that is to be published.

    Args:
        records: What the registry keeps.
        network: What holds for all.
        crls: The newest CRL of each issuing CA.
    """
    agencies = records.agencies()
    revocations, former = records.revocations(), records.former_authorities()
    seals: dict[str, list[SealCertificate]] = {}
    for certificate in records.seal_certificates():
        seals.setdefault(certificate.agency, []).append(certificate)
    owned: dict[str, list[Agency]] = {}
    for agency in agencies:
        if agency.owner is not None and agency.state is AgencyState.ACTIVE:
            owned.setdefault(agency.owner, []).append(agency)
    outside = records.outside_authorities()
    certificates = tuple(to_base64(item.certificate) for item in outside)
    lists = (
        *(crl.der for crl in crls),
        *(item.crl for item in former if item.crl),
        *(item.crl for item in outside if item.crl is not None),
    )
    return Contents(
        network=replace(network, outside_authorities=certificates),
        identities=[
            _identity(agency, owned.get(agency.code, ()), seals.get(agency.code, ()))
            for agency in agencies
            if agency.owner is None
        ],
        endpoints=_endpoints(records, agencies, revocations),
        revocations=RevocationList(
            entries=tuple(_revocation(item) for item in revocations),
            crls=tuple(map(to_base64, lists)),
        ),
    )


def _identity(
    agency: Agency, owned: Sequence[Agency], seals: Sequence[SealCertificate]
) -> IdentityEntry:
    return IdentityEntry(
        code=agency.code,
        name=agency.name,
        aliases=agency.aliases,
        owns=tuple(OwnedCode(code=o.code, name=o.name, aliases=o.aliases) for o in owned),
        state=agency.state,
        valid_from=time_text(agency.valid_from),
        valid_to=UNSET if agency.valid_to is None else time_text(agency.valid_to),
        seals=tuple(SealListing(certificate=to_base64(item.certificate)) for item in seals),
    )


def _endpoints(
    records: Records, agencies: Sequence[Agency], revocations: Sequence[Revocation]
) -> dict[str, EndpointEntry]:
    """Endpoints of agencies that exist, under a seal that still counts."""
    closed = {agency.code for agency in agencies if agency.state is AgencyState.CLOSED}
    revoked = {item.sha256 for item in revocations}
    return {
        item.agency: _endpoint(item)
        for item in records.endpoints()
        if item.agency not in closed and _seal_certificate(item) not in revoked
    }


def _seal_certificate(endpoint: Endpoint) -> str:
    return canonical.decode(endpoint.seal, statements.Seal).certificates[0]


def _endpoint(endpoint: Endpoint) -> EndpointEntry:
    seal = SignedSeal(endpoint.seal, endpoint.signature)
    return to_entry(SealedStatement(endpoint.statement, endpoint.leaf, endpoint.proof, seal))


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
