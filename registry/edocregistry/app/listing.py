"""What the registry knows of each agency, for people who look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from edoccore.identity.certificate import certificate_digest
from edocregistry.app.registry import Registry
from edocregistry.domain import own_entry
from edocregistry.domain.agencies import known_agency
from edocregistry.domain.listed_codes import entries_of
from edocregistry.domain.model import Agency, SealCertificate
from edocregistry.domain.ports import Records
from edocregistry.domain.revoking import tls_certificates
from edocregistry.domain.suites import ONE_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyView:
    """One agency.

    Attributes:
        seal: SHA-256 of the seal certificate in force; None: not enrolled, or revoked.
        minimum_suite: Weakest suite that its seals may use.
        addresses: Where its node is reached.
        tls: SHA-256 of its TLS certificates, current first.
        revoked: SHA-256 of its revoked certificates.
        spaces: Where it lists codes itself.
        listed: How many sub-agencies its list names, closed ones too.
    """

    agency: Agency
    seal: str | None
    seal_ends_at: datetime | None
    minimum_suite: int
    addresses: Sequence[str]
    tls: Sequence[str]
    revoked: Sequence[str]
    spaces: Sequence[str]
    listed: int


def agency_view(registry: Registry, code: str) -> AgencyView:
    """Looks up one agency by code or alias.

    Raises:
        AgencyUnknownError: There is none.
    """
    with registry.folder.turn() as turn:
        return turn.read(
            lambda records: _view(records, known_agency(records, code), records.spaces())
        )


def agency_views(registry: Registry) -> list[AgencyView]:
    """Looks up all agencies, by code."""
    with registry.folder.turn() as turn:
        return turn.read(_views)


def _views(records: Records) -> list[AgencyView]:
    spaces = records.spaces()
    return [_view(records, agency, spaces) for agency in records.agencies()]


def _view(records: Records, agency: Agency, spaces: Mapping[str, Sequence[str]]) -> AgencyView:
    revoked = [item.sha256 for item in records.revocations(agency.code)]
    seals = [item for item in records.seal_certificates(agency.code) if item.sha256 not in revoked]
    endpoint = records.endpoint(agency.code)
    minimum = records.suite_minimums(agency.code).get(agency.code)
    return AgencyView(
        agency=agency,
        seal=seals[-1].sha256 if seals else None,
        seal_ends_at=_end(seals[-1]) if seals else None,
        minimum_suite=minimum.suite if minimum else ONE_KEY,
        addresses=own_entry.addresses(endpoint) if endpoint else (),
        tls=[certificate_digest(item) for item in tls_certificates(records, agency.code)],
        revoked=revoked,
        spaces=spaces.get(agency.code, ()),
        listed=len(entries_of(records.subagency_list(agency.code))),
    )


def _end(seal: SealCertificate) -> datetime:
    return x509.load_der_x509_certificate(seal.certificate).not_valid_after_utc
