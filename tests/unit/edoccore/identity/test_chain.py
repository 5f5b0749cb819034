from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from edoccore.errors import SealCertificateError
from edoccore.identity.certificate import DOCUMENT_SIGNING
from edoccore.identity.chain import (
    MAX_ANCHORS_TRIED,
    MAX_INTERMEDIATES,
    MAX_LISTS,
    Revocation,
    VerifiedChain,
    verify_chain,
)
from tests.unit.edoccore.identity.pki import NOW, TLS_USAGES, YEAR, Issuer, key_usage, new_key

DAY = timedelta(days=1)
KEY = new_key()
ROOT = Issuer("Root")
MIDDLE = Issuer("Middle", ROOT)
LEAF = MIDDLE.issue(KEY)
GOOD_LISTS = [ROOT.revoke(), MIDDLE.revoke()]


def verify(
    leaf: x509.Certificate = LEAF,
    intermediates: list[x509.Certificate] | None = None,
    anchors: list[x509.Certificate] | None = None,
    crls: list[x509.CertificateRevocationList] | None = None,
) -> VerifiedChain:
    """Verifies at NOW, with what is good where nothing else is said."""
    return verify_chain(
        leaf,
        [MIDDLE.certificate] if intermediates is None else intermediates,
        anchors=[ROOT.certificate] if anchors is None else anchors,
        at=NOW,
        crls=GOOD_LISTS if crls is None else crls,
    )


def test_a_chain_to_an_anchor_with_current_lists_is_not_revoked() -> None:
    chain = verify()
    assert chain.certificates == (LEAF, MIDDLE.certificate, ROOT.certificate)
    assert chain.revocation is Revocation.NOT_REVOKED
    assert chain.revoked is None


def test_an_intermediate_can_be_the_anchor() -> None:
    chain = verify(intermediates=[], anchors=[MIDDLE.certificate])
    assert chain.certificates == (LEAF, MIDDLE.certificate)
    assert chain.revocation is Revocation.NOT_REVOKED


def test_four_certificates_are_the_longest_chain() -> None:
    lower = Issuer("Lower", MIDDLE)
    chain = verify(lower.issue(KEY), [MIDDLE.certificate, lower.certificate])
    assert len(chain.certificates) == 4
    lowest = Issuer("Lowest", lower)
    with pytest.raises(SealCertificateError, match="none was read"):
        verify(lowest.issue(KEY), [MIDDLE.certificate, lower.certificate, lowest.certificate])


# --- Revocation -----------------------------------------------------------------------------


def test_a_revoked_certificate_is_refused_although_it_names_no_list() -> None:
    with pytest.raises(SealCertificateError, match="was revoked on 2026-11-22"):
        verify(crls=[ROOT.revoke(), MIDDLE.revoke([(LEAF, NOW - DAY)])])


def test_a_revoked_intermediate_is_refused() -> None:
    revoking = ROOT.revoke([(MIDDLE.certificate, NOW - DAY)])
    with pytest.raises(SealCertificateError, match="was revoked"):
        verify(crls=[revoking, MIDDLE.revoke()])


def test_revocation_counts_from_its_very_second() -> None:
    with pytest.raises(SealCertificateError, match="was revoked"):
        verify(crls=[ROOT.revoke(), MIDDLE.revoke([(LEAF, NOW)])])


def test_a_later_revocation_is_told_with_its_moment() -> None:
    later = MIDDLE.revoke([(LEAF, NOW + DAY)], made=NOW + 2 * DAY)
    chain = verify(crls=[ROOT.revoke(), later])
    assert chain.revocation is Revocation.REVOKED_LATER
    assert chain.revoked == NOW + DAY


def test_a_clean_list_does_not_undo_another_that_revokes() -> None:
    for lists in ([True, False], [False, True]):
        crls = [MIDDLE.revoke([(LEAF, NOW - DAY)] if revokes else []) for revokes in lists]
        with pytest.raises(SealCertificateError, match="was revoked"):
            verify(crls=[ROOT.revoke(), *crls])


def test_an_old_list_still_revokes() -> None:
    old = MIDDLE.revoke([(LEAF, NOW - 20 * DAY)], made=NOW - 20 * DAY, next_update=NOW - 10 * DAY)
    with pytest.raises(SealCertificateError, match="was revoked"):
        verify(crls=[ROOT.revoke(), MIDDLE.revoke(), old])


@pytest.mark.parametrize("missing", ["leaf's", "intermediate's", "both"])
def test_a_missing_list_is_unknown_and_never_good(missing: str) -> None:
    crls = {"leaf's": [ROOT.revoke()], "intermediate's": [MIDDLE.revoke()], "both": []}[missing]
    assert verify(crls=crls).revocation is Revocation.UNKNOWN


def test_unknown_is_told_even_when_another_certificate_was_revoked_later() -> None:
    chain = verify(crls=[MIDDLE.revoke([(LEAF, NOW + DAY)], made=NOW + 2 * DAY)])
    assert chain.revocation is Revocation.UNKNOWN
    assert chain.revoked == NOW + DAY


def test_a_list_that_ended_before_the_moment_is_unknown() -> None:
    old = MIDDLE.revoke(made=NOW - 20 * DAY, next_update=NOW - DAY)
    assert verify(crls=[ROOT.revoke(), old]).revocation is Revocation.UNKNOWN


def test_a_list_made_later_is_as_good_while_the_certificate_lasts() -> None:
    year_later = MIDDLE.revoke(made=NOW + YEAR - DAY, next_update=NOW + YEAR + 60 * DAY)
    after_its_end = MIDDLE.revoke(made=NOW + YEAR + DAY, next_update=NOW + YEAR + 60 * DAY)
    assert verify(crls=[ROOT.revoke(), year_later]).revocation is Revocation.NOT_REVOKED
    assert verify(crls=[ROOT.revoke(), after_its_end]).revocation is Revocation.UNKNOWN


def test_a_list_of_the_same_name_by_another_key_is_not_believed() -> None:
    impostor = Issuer("Middle", ROOT)
    assert verify(crls=[ROOT.revoke(), impostor.revoke()]).revocation is Revocation.UNKNOWN
    forged = impostor.revoke([(LEAF, NOW - DAY)])
    assert verify(crls=[*GOOD_LISTS, forged]).revocation is Revocation.NOT_REVOKED


def test_a_list_of_an_issuer_that_may_not_make_lists_is_not_believed() -> None:
    mute = Issuer("Mute", ROOT, usage=key_usage(key_cert_sign=True))
    chain = verify(mute.issue(KEY), [mute.certificate], crls=[ROOT.revoke(), mute.revoke()])
    assert chain.revocation is Revocation.UNKNOWN


@pytest.mark.parametrize(
    "extension",
    [
        x509.DeltaCRLIndicator(1),
        x509.IssuingDistributionPoint(
            full_name=None,
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=True,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        ),
    ],
    ids=lambda extension: type(extension).__name__,
)
def test_a_partial_list_proves_nothing(extension: x509.ExtensionType) -> None:
    partial = MIDDLE.revoke(extra=[(extension, True)])
    assert verify(crls=[ROOT.revoke(), partial]).revocation is Revocation.UNKNOWN


# --- Paths ----------------------------------------------------------------------------------


def test_a_foreign_root_is_refused() -> None:
    with pytest.raises(SealCertificateError, match="No trusted issuer is named"):
        verify(anchors=[Issuer("Foreign").certificate])


def test_a_foreign_root_of_the_same_name_is_refused() -> None:
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify(anchors=[Issuer("Root").certificate])


def test_no_anchor_at_all_is_refused() -> None:
    with pytest.raises(SealCertificateError, match="No trusted issuer"):
        verify(anchors=[])


def test_a_missing_intermediate_is_refused() -> None:
    with pytest.raises(SealCertificateError, match="No trusted issuer is named"):
        verify(intermediates=[])


def test_a_leaf_cannot_vouch_for_another() -> None:
    false_issuer = Issuer("False", ROOT, ca=False)
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify(false_issuer.issue(KEY), [false_issuer.certificate])


def test_an_issuer_without_the_power_to_issue_cannot_vouch() -> None:
    powerless = Issuer("Powerless", ROOT, usage=key_usage(crl_sign=True))
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify(powerless.issue(KEY), [powerless.certificate])


def test_t05_an_issuer_limited_to_tls_cannot_vouch_for_seals() -> None:
    tls_only = Issuer("TLS only", ROOT, extended=TLS_USAGES)
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify(tls_only.issue(KEY), [tls_only.certificate])
    for usage in (DOCUMENT_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE):
        allowed = Issuer("Allowed", ROOT, extended=[usage])
        crls = [ROOT.revoke(), allowed.revoke()]
        chain = verify(allowed.issue(KEY), [allowed.certificate], crls=crls)
        assert chain.revocation is Revocation.NOT_REVOKED


def test_a_leaf_signed_by_another_key_than_its_issuers_is_refused() -> None:
    forged = Issuer("Middle", ROOT).issue(KEY)
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify(forged)


def test_an_expired_leaf_is_refused() -> None:
    with pytest.raises(SealCertificateError, match="it is valid from"):
        verify(MIDDLE.issue(KEY, begins=NOW - 2 * YEAR, ends=NOW - DAY))


def test_an_expired_issuer_is_refused_and_good_for_its_own_time() -> None:
    leaf = ROOT.issue(KEY, begins=NOW - YEAR, ends=NOW + 9 * YEAR)
    anchors = [ROOT.certificate]
    verify_chain(leaf, [], anchors=anchors, at=NOW)
    with pytest.raises(SealCertificateError, match="No chain leads"):
        verify_chain(leaf, [], anchors=anchors, at=NOW + 6 * YEAR)


def test_t05_a_tls_leaf_is_refused_whoever_issued_it() -> None:
    with pytest.raises(SealCertificateError, match="may also be used for TLS"):
        verify(MIDDLE.issue(KEY, usages=TLS_USAGES))


# --- Limits: the work for a seal of a stranger is bounded -----------------------------------


def test_more_than_is_looked_at_is_refused_unread() -> None:
    with pytest.raises(SealCertificateError, match="none was read"):
        verify(intermediates=[MIDDLE.certificate] * (MAX_INTERMEDIATES + 1))
    with pytest.raises(SealCertificateError, match="none was read"):
        verify(crls=[ROOT.revoke()] * (MAX_LISTS + 1))


def test_many_anchors_of_one_name_are_not_tried_and_of_other_names_do_no_harm() -> None:
    twins = [Issuer("Root").certificate for _ in range(MAX_ANCHORS_TRIED)]
    with pytest.raises(SealCertificateError, match="share one name"):
        verify(anchors=[ROOT.certificate, *twins])
    others = [Issuer(f"Other {number}").certificate for number in range(20)]
    assert verify(anchors=[*others, ROOT.certificate]).revocation is Revocation.NOT_REVOKED
