"""Why ``signatures.certificates`` always requires revocation information of certvalidator.

In its mode ``hard-fail`` the library looks at a list in hand only where the certificate names a
distribution point; so it accepts a certificate that the list revokes. When a new version no longer
does, this test says so, and nothing here depends on it.
"""

from datetime import timedelta

import pytest
from asn1crypto import crl
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathValidationError

from tests.support.signing_pki import NOW, Authority


def context(authority: Authority, mode: str) -> ValidationContext:
    """Trusts the authority and has its list in hand; nothing is fetched."""
    return ValidationContext(
        trust_roots=[authority.root.asn1()],
        crls=[crl.CertificateList.load(authority.crl())],
        moment=NOW,
        allow_fetching=False,
        revocation_mode=mode,
    )


async def test_hard_fail_accepts_a_revoked_certificate_and_require_refuses_it() -> None:
    authority = Authority.make("Root")
    person = authority.person()
    authority.revoke(person, NOW - timedelta(days=1))
    for mode in ("hard-fail", "require"):
        validator = CertificateValidator(person.asn1(), validation_context=context(authority, mode))
        if mode == "hard-fail":
            assert await validator.async_validate_usage(set())
            continue
        with pytest.raises(PathValidationError, match="revoked"):
            await validator.async_validate_usage(set())


async def test_require_accepts_a_certificate_that_the_list_does_not_name() -> None:
    authority = Authority.make("Root")
    person = authority.person()
    validator = CertificateValidator(
        person.asn1(), validation_context=context(authority, "require")
    )
    assert await validator.async_validate_usage(set())
