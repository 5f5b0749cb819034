"""State secrets are refused, and what bears their stamp is told."""

import pytest

from edoccore.errors import ExitCode, StateSecretError
from edocnode.domain.secrecy import Secrecy, check_secrecy, secrecy_remarks


@pytest.mark.parametrize("secrecy", [each for each in Secrecy if each is not Secrecy.NONE])
def test_secret_document_is_refused_with_what_to_do_instead(secrecy: Secrecy) -> None:
    with pytest.raises(StateSecretError) as caught:
        check_secrecy(secrecy)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "state secrets" in caught.value.message
    assert "paper" in caught.value.hint


def test_document_that_is_no_secret_passes() -> None:
    check_secrecy(Secrecy.NONE)


@pytest.mark.parametrize(
    "subject",
    ["MẬT - Về việc bố trí lực lượng", "[TỐI MẬT] Kế hoạch", "TUYỆT MẬT: a", "  MẬT", "“MẬT” a"],
)
def test_stamp_in_front_of_a_subject_is_told(subject: str) -> None:
    (told,) = secrecy_remarks({"subject": subject}, [])
    assert "MẬT" in told
    assert told.startswith("The field subject")


@pytest.mark.parametrize(
    "subject",
    [
        "Mật độ dân số năm 2026",
        "MẬT ĐỘ DÂN SỐ NĂM 2026",
        "MẬT ONG Tây Nguyên",
        "Về việc giải mật",
        "BẢO MẬT thông tin",
        "MẬTA",
    ],
)
def test_words_that_only_look_like_the_stamp_are_left(subject: str) -> None:
    assert list(secrecy_remarks({"subject": subject}, [])) == []


def test_stamp_in_inner_fields_and_names_of_files_is_told() -> None:
    fields = {
        "subject": "Kế hoạch",
        "extensions": [{"name": "DoMat", "value": "TỐI MẬT"}],
        "page_count": 3,
    }
    told = list(secrecy_remarks(fields, ["MẬT Kế hoạch.pdf", "Phụ lục.pdf"]))
    assert [text.partition(" begins")[0] for text in told] == [
        "The field extensions",
        "The name of a file",
    ]
