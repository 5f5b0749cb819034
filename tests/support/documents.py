"""Real documents with Vietnamese names, for tests that send files."""

from pathlib import Path

DOCUMENTS = Path(__file__).parents[1] / "documents"
DECISION = DOCUMENTS / "Quyết định 28-QĐ-UBND.pdf"
APPENDIX = DOCUMENTS / "Phụ lục II - Bảng tổng hợp.pdf"
