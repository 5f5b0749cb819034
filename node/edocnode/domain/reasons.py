"""Why a document is given back: codes with their texts in Vietnamese and English. Data only.

Source: Decision 28/2018/QD-TTg, Articles 5 and 9; Decree 30/2020/ND-CP, Article 21(2).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One code and how it reads."""

    code: str
    vi: str
    en: str


REJECT_REASONS = (
    Reason("WRONG_RECIPIENT", "Gửi không đúng nơi nhận", "sent to the wrong recipient"),
    Reason("SIGNATURE_INVALID", "Chữ ký số không hợp lệ", "a digital signature is not valid"),
    Reason(
        "CERT_INVALID",
        "Chứng thư số hết hạn, bị thu hồi hoặc không tin cậy",
        "a certificate is expired, revoked or not trusted",
    ),
    Reason("INCOMPLETE", "Văn bản hoặc phụ lục không đầy đủ", "parts of the document are missing"),
    Reason("UNREADABLE", "Tệp không mở hoặc không đọc được", "a file cannot be opened or read"),
    Reason(
        "CONTENT_MISMATCH",
        "Nội dung tệp không khớp với thông tin văn bản",
        "the files do not agree with the document's data",
    ),
    Reason(
        "SECRET_CONTENT",
        "Văn bản có nội dung bí mật nhà nước",
        "the document has state secrets, which must not travel here",
    ),
    Reason("DUPLICATE", "Văn bản đã được gửi trước đó", "the document was sent before"),
    Reason("OTHER", "Lý do khác", "another reason, as the text says"),
)
REJECT_CODES = {reason.code: reason for reason in REJECT_REASONS}


def known_codes(codes: dict[str, Reason]) -> str:
    """The codes one after another, for people."""
    return ", ".join(codes)
