"""A signer's certificate: who it names, which root vouches for it, whether it was revoked.

Paths, CRLs and OCSP answers are judged by pyhanko-certvalidator. It leaves out a CRL in hand when
the certificate names no distribution point, unless revocation information is required: so it always
is, for one certificate of the path at a time, and one list at a time, each at a moment at which
that list still holds. What is missing for one certificate thus hides nothing of another.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyhanko_certvalidator import ValidationContext, find_valid_path
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    InvalidCertificateError,
    NotYetValidError,
    PathBuildingError,
    PathValidationError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.policy_decl import (
    CertRevTrustPolicy,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)

from edocnode.domain.signatures import Chain, Revocation
from edocnode.signatures.trust import Trust

_COMMON_NAME, _ORGANISATION = "2.5.4.3", "2.5.4.10"
_MAX_PATH = 10  # certificates above the signer's
_SIGNING_USES = {"digital_signature", "non_repudiation"}
_SECOND = timedelta(seconds=1)

_NO_REVOCATION = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK)
)
_REVOCATION = CertRevTrustPolicy(
    RevocationCheckingPolicy(
        ee_certificate_rule=RevocationCheckingRule.CRL_OR_OCSP_REQUIRED,
        intermediate_ca_cert_rule=RevocationCheckingRule.NO_CHECK,
    ),
    retroactive_revinfo=True,
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a part brings along: certificates, CRLs and OCSP answers, all unproven."""

    certificates: tuple[Any, ...] = ()
    crls: tuple[Any, ...] = ()
    ocsps: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a certificate stands: see ``SignatureFacts``; ``root`` is a SHA-256."""

    chain: Chain
    root: bytes = b""
    weak: tuple[str, ...] = ()
    revocation: Revocation = Revocation.UNKNOWN
    revoked_at: datetime | None = None


def subject_of(certificate: Any) -> dict[str, list[str]]:  # noqa: ANN401 - asn1crypto is untyped
    """The texts of a certificate's subject, NFC, by object identifier."""
    found: dict[str, list[str]] = {}
    for names in certificate.subject.chosen:
        for name in names:
            text = unicodedata.normalize("NFC", str(name["value"].native))
            found.setdefault(name["type"].dotted, []).append(text)
    return found


def name_of(subject: dict[str, list[str]]) -> str:
    """The name under which a subject signs."""
    return next(iter(subject.get(_COMMON_NAME, ())), "")


def organisation_of(subject: dict[str, list[str]]) -> str:
    """The organisation that a subject belongs to."""
    return next(iter(subject.get(_ORGANISATION, ())), "")


def is_for_signing(certificate: Any) -> bool:  # noqa: ANN401
    """Whether a certificate may sign documents: by its key usage, and if it is no authority's."""
    uses = certificate.key_usage_value
    allowed = uses is None or bool(set(uses.native) & _SIGNING_USES)
    extended = certificate.extended_key_usage_value
    only_time = extended is not None and set(extended.native) <= {"time_stamping"}
    return allowed and not only_time and not certificate.ca


def weak_key(certificate: Any) -> str:  # noqa: ANN401
    """What is too weak of a key, such as ``RSA 1024``; empty: nothing."""
    key = certificate.public_key
    small = {"rsa": 2048, "dsa": 2048, "ec": 224}.get(key.algorithm, 0)
    return f"{key.algorithm.upper()} {key.bit_size}" if key.bit_size < small else ""


async def standing_of(
    certificate: Any,  # noqa: ANN401
    trust: Trust,
    embedded: Embedded,
    *,
    signed_at: datetime,
    proven_at: datetime,
    now: datetime,
) -> Standing:
    """Judges a signer's certificate.

    Args:
        signed_at: When it is said to have signed; the path is judged for this moment.
        proven_at: By when it certainly had signed. A revocation before counts.
    """
    context = _context(trust.roots, trust, embedded, moment=signed_at)
    path, weak, chain = await _path(certificate, context)
    if path is None:
        return Standing(chain or _without_root(certificate, embedded.certificates), weak=weak)
    certificates = list(path.iter_certs(include_root=True))
    revocation, revoked_at = await _revocation(
        certificates, trust, embedded, proven_at=proven_at, now=now
    )
    return Standing(
        chain or Chain.TRUSTED,
        root=certificates[0].sha256,
        weak=weak,
        revocation=revocation,
        revoked_at=revoked_at,
    )


def timestamp_context(trust: Trust, embedded: Embedded, moment: datetime) -> ValidationContext:
    """What timestamps are judged in: their own roots, at the moment that they state."""
    return _context(trust.timestamp_roots, trust, embedded, moment=moment)


async def _path(
    certificate: Any,  # noqa: ANN401
    context: ValidationContext,
) -> tuple[Any, tuple[str, ...], Chain | None]:
    """The path to a trusted root, what is weak in it, and what else is wrong.

    Out of date at that moment is not told here: the signer's own validity is compared apart.
    """
    paths = context.path_builder.async_build_paths_lazy(certificate)
    try:
        return await find_valid_path(certificate, paths, validation_context=context), (), None
    except DisallowedAlgorithmError as error:
        return error.original_path, ("certificate chain",), None
    except (ExpiredError, NotYetValidError) as error:
        return error.original_path, (), None if error.is_ee_cert else Chain.INVALID
    except PathValidationError as error:
        return error.original_path, (), Chain.INVALID
    except (PathBuildingError, InvalidCertificateError):
        return None, (), None
    except (ValidationError, ValueError):
        return None, (), Chain.INVALID


async def _revocation(
    certificates: Sequence[Any],
    trust: Trust,
    embedded: Embedded,
    *,
    proven_at: datetime,
    now: datetime,
) -> tuple[Revocation, datetime | None]:
    """What the lists in hand say of a path; ``certificates`` begins with the root."""
    until = min([now, *(each.not_valid_after for each in certificates)])
    states = []
    for place, certificate in enumerate(certificates[1:], start=1):
        state, at = Revocation.UNKNOWN, None
        for source in _sources(certificate, trust, embedded):
            found = await _asked(certificates[: place + 1], trust, source, until=until)
            if isinstance(found, datetime):
                state, at = Revocation.REVOKED, min(found, at or found)
            elif found and state is Revocation.UNKNOWN:
                fresh = source.until is None or source.until >= min(proven_at, until) - _SECOND
                state = Revocation.GOOD if fresh else Revocation.UNKNOWN
        states.append((state, at))
    revoked = [at for state, at in states if state is Revocation.REVOKED and at is not None]
    if revoked:
        first = min(revoked)
        since = first > proven_at
        return Revocation.REVOKED_SINCE if since else Revocation.REVOKED, first
    signer = states[-1][0] if states else Revocation.GOOD  # a root vouches for itself
    return signer, None


@dataclass(frozen=True, slots=True)
class _Source:
    """One list or answer; ``until`` is when it expects a newer one."""

    crls: tuple[Any, ...]
    ocsps: tuple[Any, ...]
    until: datetime | None


def _sources(certificate: Any, trust: Trust, embedded: Embedded) -> Iterator[_Source]:  # noqa: ANN401
    for each in (*trust.crls, *embedded.crls):
        if each.issuer == certificate.issuer:
            until = each["tbs_cert_list"]["next_update"].native
            yield _Source((each,), (), until)
    for answer in embedded.ocsps:
        yield _Source((), (answer,), None)


async def _asked(
    certificates: Sequence[Any], trust: Trust, source: _Source, *, until: datetime
) -> bool | datetime:
    """Whether a source clears the last certificate; the moment of revocation when it does not."""
    root, *between, certificate = certificates
    moment = until if source.until is None else min(until, source.until)
    context = ValidationContext(
        trust_roots=[root],
        other_certs=[*between, *trust.intermediates],
        moment=moment,
        allow_fetching=False,
        crls=source.crls,
        ocsps=source.ocsps,
        revinfo_policy=_REVOCATION,
    )
    paths = context.path_builder.async_build_paths_lazy(certificate)
    try:
        await find_valid_path(certificate, paths, validation_context=context)
    except RevokedError as error:
        return False if error.is_side_validation else error.revocation_dt
    except (ValidationError, PathBuildingError, ValueError):
        return False
    return True


def _context(
    roots: Sequence[Any], trust: Trust, embedded: Embedded, *, moment: datetime
) -> ValidationContext:
    return ValidationContext(
        trust_roots=list(roots),
        other_certs=[*trust.intermediates, *embedded.certificates],
        moment=moment,
        allow_fetching=False,
        revinfo_policy=_NO_REVOCATION,
    )


def _without_root(certificate: Any, others: Sequence[Any]) -> Chain:  # noqa: ANN401
    """Whether certificates in hand lead to some root, or to none."""
    by_subject = {each.subject.hashable: each for each in others}
    for _ in range(_MAX_PATH):
        if certificate.self_issued:
            return Chain.UNTRUSTED_ROOT
        above = by_subject.get(certificate.issuer.hashable)
        if above is None:
            return Chain.NO_PATH
        certificate = above
    return Chain.NO_PATH
