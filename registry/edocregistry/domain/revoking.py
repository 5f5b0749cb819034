"""The end of keys: which certificates of an agency are revoked, and the CRL that says so.

A revocation is never undone and never made weaker; asking again changes nothing, unless the key was
lost earlier than was known.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509

from edoccore.directory import layout
from edoccore.directory.layout import RevocationKind
from edoccore.errors import AgencyInactiveError, RequestInvalidError
from edoccore.identity.certificate import certificate_digest
from edoccore.signing import canonical, statements
from edocregistry.domain.agencies import check_has_node, known_agency
from edocregistry.domain.model import Revocation, RevocationCrl
from edocregistry.domain.ports import IssuingAuthority, Records

BY_ORDER = "revoked by order of the registry"


def revoke_keys(
    records: Records,
    code: str,
    kinds: Sequence[RevocationKind],
    *,
    compromised_since: datetime | None,
    now: datetime,
) -> list[Revocation]:
    """Ends keys of an agency by order of the registry.

    Args:
        records: Where they are kept.
        code: The agency.
        kinds: SEAL: all its seal certificates; TLS: the certificate its node uses, so that the
            next one takes over at once. Empty: whatever of both it has.
        compromised_since: Seals without a proven time before it are worth nothing.
        now: They end here.

    Returns:
        What was revoked now, or is known now to have been lost earlier; empty when an earlier
        order had said it all.

    Raises:
        AgencyUnknownError, AgencyInactiveError: No such agency, or it has no such key yet.
        RequestInvalidError: The compromise lies in the future, or another agency's node serves it.
    """
    agency = _with_node(records, code)
    if compromised_since is not None and compromised_since > now:
        raise RequestInvalidError("The time of the compromise lies in the future.")
    found = {
        RevocationKind.SEAL: _seal_revocations(records, agency, BY_ORDER, compromised_since, now),
        RevocationKind.TLS: _tls_revocations(records, agency, BY_ORDER, compromised_since, now)[:1],
    }
    missing = [kind for kind in (kinds or found) if not found[kind]]
    if missing and (kinds or len(missing) == len(found)):
        kind = missing[0].value
        raise AgencyInactiveError(
            f"{agency} has no {kind} certificate yet.",
            hint=f"See: edocregistry agency show {agency}",
            agency=agency,
        )
    return add_revocations(
        records, agency, [item for kind in (kinds or found) for item in found[kind]]
    )


def end_keys(records: Records, agency: str, *, reason: str, now: datetime) -> list[Revocation]:
    """Ends all keys of an agency, seal and TLS; without keys nothing happens."""
    seals = _seal_revocations(records, agency, reason, None, now)
    return add_revocations(
        records, agency, [*seals, *_tls_revocations(records, agency, reason, None, now)]
    )


def tls_certificates(records: Records, agency: str) -> list[bytes]:
    """TLS certificates (DER) in the newest endpoint statement of an agency, current first."""
    endpoint = records.endpoint(agency)
    if endpoint is None:
        return []
    statement = canonical.decode(endpoint.statement, statements.Endpoint)
    return [layout.from_base64(item) for item in statement.certificates]


def refresh_crls(
    records: Records, authorities: Sequence[IssuingAuthority], now: datetime
) -> list[RevocationCrl]:
    """Returns the CRL of each issuing CA; makes those anew that lack a revocation or are old.

    Args:
        authorities: All that the registry ever had, the oldest first.
    """
    revoked = [item for item in records.revocations() if item.serial is not None]
    issued = {item.sha256: item.certificate for item in records.seal_certificates()}
    issuers = {
        item.sha256: x509.load_der_x509_certificate(issued[item.sha256]).issuer
        for item in revoked
        if item.sha256 in issued
    }
    return [
        _refresh_crl(
            records,
            authority,
            place,
            [
                item
                for item in revoked
                if issuers.get(item.sha256)
                == x509.load_der_x509_certificate(authority.certificate).subject
            ],
            now,
        )
        for place, authority in enumerate(authorities, 1)
    ]


def _refresh_crl(
    records: Records,
    authority: IssuingAuthority,
    place: int,
    revoked: Sequence[Revocation],
    now: datetime,
) -> RevocationCrl:
    known = records.crl(place)
    if (
        known is not None
        and known.size == len(revoked)
        and now < known.issued_at + layout.ROLE_RESIGN_AFTER
    ):
        return known
    number = layout.next_version(known.number if known else 0, now)
    der = authority.make_crl(revoked, number=number, now=now)
    crl = RevocationCrl(number, der, now, len(revoked))
    records.put_crl(place, crl)
    return crl


def _with_node(records: Records, code: str) -> str:
    agency = known_agency(records, code)
    check_has_node(agency)
    return agency.code


def _seal_revocations(
    records: Records,
    agency: str,
    reason: str,
    compromised_since: datetime | None,
    now: datetime,
) -> list[Revocation]:
    return [
        Revocation(
            kind=RevocationKind.SEAL,
            sha256=item.sha256,
            agency=agency,
            serial=x509.load_der_x509_certificate(item.certificate).serial_number,
            reason=reason,
            revoked_at=now,
            compromised_since=compromised_since,
        )
        for item in records.seal_certificates(agency)
    ]


def _tls_revocations(
    records: Records,
    agency: str,
    reason: str,
    compromised_since: datetime | None,
    now: datetime,
) -> list[Revocation]:
    return [
        Revocation(
            kind=RevocationKind.TLS,
            sha256=certificate_digest(item),
            agency=agency,
            serial=None,
            reason=reason,
            revoked_at=now,
            compromised_since=compromised_since,
        )
        for item in tls_certificates(records, agency)
    ]


def add_revocations(records: Records, agency: str, made: Sequence[Revocation]) -> list[Revocation]:
    """Keeps revocations; returns those that are new."""
    new = list(_unknown(records, agency, made))
    for revocation in new:
        records.add_revocation(revocation)
    return new


def _unknown(records: Records, agency: str, made: Sequence[Revocation]) -> Iterator[Revocation]:
    """Those that say more than is known: another certificate, or an earlier compromise."""
    known = {item.sha256: item for item in records.revocations(agency)}
    for item in made:
        before = known.get(item.sha256)
        if before is None or _is_earlier(item.compromised_since, before):
            yield item


def _is_earlier(since: datetime | None, known: Revocation) -> bool:
    return since is not None and since < (known.compromised_since or known.revoked_at)
