"""A signer's certificate: who it names, which root vouches for it, whether it was revoked.

Paths, CRLs and OCSP answers are judged by pyhanko-certvalidator. It leaves out a CRL in hand when
the certificate names no distribution point, unless revocation information is required: so it always
is, for one certificate of the path at a time, and one list at a time, each at a moment at which
that list still holds. What is missing for one certificate thus hides nothing of another. An OCSP
answer in hand it leaves out when the certificate names no responder: so it is asked for apart.
"""

import contextlib
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
    OCSPNoMatchesError,
    OCSPValidationError,
    OCSPValidationIndeterminateError,
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
from pyhanko_certvalidator.revinfo.validate_ocsp import verify_ocsp_response

from edocnode.domain.signatures import Chain, Revocation
from edocnode.signatures.trust import Trust

_COMMON_NAME, _ORGANISATION = "2.5.4.3", "2.5.4.10"
_MAX_PATH = 10  # certificates above the signer's
_SIGNING_USES = {"digital_signature", "non_repudiation"}
_SECOND = timedelta(seconds=1)
_ANSWER_HOLDS = timedelta(minutes=30)  # an OCSP answer that does not say for how long

_NOT_ANSWERED = (OCSPNoMatchesError, OCSPValidationError, OCSPValidationIndeterminateError)
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)

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
_ANSWERED = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK),
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
    revocation, revoked_at = await revocation_of(
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


async def revocation_of(
    certificates: Sequence[Any],
    trust: Trust,
    embedded: Embedded,
    *,
    proven_at: datetime,
    now: datetime,
) -> tuple[Revocation, datetime | None]:
    """What the lists and answers in hand say of a path.

    Args:
        certificates: From the root to the one that signed.
        proven_at: By when it certainly had signed. A revocation before counts.
    """
    until = min([now, *(each.not_valid_after for each in certificates)])
    states = []
    for place, certificate in enumerate(certificates[1:], start=1):
        state, at = Revocation.UNKNOWN, None
        for source in _sources(certificate, trust, embedded):
            found = await _asked(certificates[: place + 1], trust, source, until=until)
            if found is not False and source.ocsps:
                issuers, [answer] = certificates[:place], source.ocsps
                if await _is_responder_revoked(issuers, trust, embedded, answer, until=until):
                    continue
            if isinstance(found, datetime):
                state, at = Revocation.REVOKED, min(found, at or found)
            elif found and state is Revocation.UNKNOWN:
                fresh = source.until is None or source.until >= min(proven_at, until) - _SECOND
                is_kept = source.made <= certificate.not_valid_after  # later it may be left out
                state = Revocation.GOOD if fresh and is_kept else Revocation.UNKNOWN
        states.append((state, at))
    revoked = [at for state, at in states if state is Revocation.REVOKED and at is not None]
    if revoked:
        first = min(revoked)
        since = first > proven_at
        return Revocation.REVOKED_SINCE if since else Revocation.REVOKED, first
    signer = states[-1][0] if states else Revocation.GOOD  # a root vouches for itself
    return signer, None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One list or answer.

    Attributes:
        made: When it was made.
        until: When it expects a newer one; None: it does not say.
        asked_at: Moment at which it is judged, unless the certificate has ended before.
    """

    crls: tuple[Any, ...] = ()
    ocsps: tuple[Any, ...] = ()
    made: datetime
    until: datetime | None
    asked_at: datetime | None


def _sources(certificate: Any, trust: Trust, embedded: Embedded) -> Iterator[_Source]:  # noqa: ANN401
    for each in (*trust.crls, *embedded.crls):
        with contextlib.suppress(*_UNREADABLE):
            if each.issuer == certificate.issuer:
                made = each["tbs_cert_list"]["this_update"].native
                until = each["tbs_cert_list"]["next_update"].native
                yield _Source(crls=(each,), made=made, until=until, asked_at=until)
    for answer in embedded.ocsps:
        with contextlib.suppress(*_UNREADABLE):  # what cannot be read proves nothing
            yield from [*_answers_of(answer, certificate)]


def _answers_of(response: Any, certificate: Any) -> Iterator[_Source]:  # noqa: ANN401
    """What an OCSP response says of a serial number; unproven, like all that came along."""
    if response["response_status"].native != "successful":
        return
    content = response.basic_ocsp_response["tbs_response_data"]
    for single in content["responses"]:
        if single["cert_id"]["serial_number"].native == certificate.serial_number:
            made = single["this_update"].native
            until = single["next_update"].native or made + _ANSWER_HOLDS
            yield _Source(ocsps=(response,), made=made, until=until, asked_at=made)


async def _asked(
    certificates: Sequence[Any], trust: Trust, source: _Source, *, until: datetime
) -> bool | datetime:
    """Whether a source clears the last certificate; the moment of revocation when it does not."""
    root, *between, certificate = certificates
    context = ValidationContext(
        trust_roots=[root],
        other_certs=[*between, *trust.intermediates],
        moment=until if source.asked_at is None else min(until, source.asked_at),
        allow_fetching=False,
        crls=source.crls,
        ocsps=source.ocsps,
        revinfo_policy=_REVOCATION if source.crls else _ANSWERED,
    )
    paths = context.path_builder.async_build_paths_lazy(certificate)
    try:
        path = await find_valid_path(certificate, paths, validation_context=context)
        if source.ocsps:  # which it leaves out when the certificate names no responder
            await verify_ocsp_response(certificate, path, context)
    except RevokedError as error:
        return False if error.is_side_validation else error.revocation_dt
    except (ValidationError, PathBuildingError, ValueError, *_NOT_ANSWERED):
        return False
    return True


async def _is_responder_revoked(
    issuers: Sequence[Any],
    trust: Trust,
    embedded: Embedded,
    answer: Any,  # noqa: ANN401
    *,
    until: datetime,
) -> bool:
    """Whether a list revokes who signed an OCSP answer in place of the authority."""
    lists = Embedded(crls=embedded.crls)
    for responder in answer.basic_ocsp_response["certs"] or ():
        for source in _sources(responder, trust, lists):
            found = await _asked([*issuers, responder], trust, source, until=until)
            if isinstance(found, datetime):
                return True
    return False


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
