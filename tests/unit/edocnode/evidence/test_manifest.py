"""Names that members may have, and statements that a CMS signature may be made of."""

import pytest

from edoccore.errors import EvidenceInvalidError
from edocnode.evidence.cms import detached_signature
from edocnode.evidence.manifest import is_member_name


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "parts/99",
        "envelope/proof-31",
        "status-07-receipt/seal.sig",
        "roles/identity-1f/file.json",
        "roles/root-12/signed",
    ],
)
def test_name_of_a_member_is_known(name: str) -> None:
    assert is_member_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "parts/100", "parts/0", "parts/../x", "/manifest.json", "envelope/", "roles/../x/signed"]
    + ["manifest.json\n", "PARTS/00", "parts\\00", "keys/x.pem", "status-1/leaf"],
)
def test_any_other_name_is_unknown(name: str) -> None:
    assert not is_member_name(name)


def test_bytes_that_could_be_a_der_set_are_never_written_as_cms() -> None:
    with pytest.raises(EvidenceInvalidError):
        detached_signature(b"\x31\x00", b"", 1, [b""])


def test_suite_without_a_cms_form_is_refused() -> None:
    with pytest.raises(EvidenceInvalidError):
        detached_signature(b"{}", b"", 4, [b""])
