"""Why a document is given back, or a request declined: codes with texts in Vietnamese and English.

Data only. The codes for declining are this project's own: edXML has none.

Source: Decision 28/2018/QD-TTg, Articles 5 and 9; Decree 30/2020/ND-CP, Article 21(2).
"""

from collections.abc import Mapping
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
    Reason("MALWARE", "Tệp có mã độc", "a file has malware"),
    Reason("OTHER", "Lý do khác", "another reason, as the text says"),
)
DECLINE_REASONS = (
    Reason("LEGAL_HOLD", "Văn bản đang bị phong tỏa theo yêu cầu", "the document is under a hold"),
    Reason("IN_FORCE", "Văn bản đã được thi hành", "the document has been carried out"),
    Reason("UNCLEAR", "Yêu cầu chưa rõ lý do", "the request does not say why"),
    Reason("OTHER", "Lý do khác", "another reason, as the text says"),
)
DECLINE_CODES = {reason.code: reason for reason in DECLINE_REASONS}
REJECT_CODES = {reason.code: reason for reason in REJECT_REASONS}


def known_codes(codes: Mapping[str, Reason]) -> str:
    """The codes one after another, for people."""
    return ", ".join(codes)
