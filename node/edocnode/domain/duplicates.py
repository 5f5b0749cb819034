"""When a received document looks like one that came before: an alert, never a refusal.

Source: Decree 30/2020, Appendix VI, part I: alert on a document identifier that was there before,
and on the same number, notation and issuing organisation. Numbers begin anew each year, Article 15.
"""

from collections.abc import Mapping
from datetime import datetime

from edocnode.domain.folding import folded
from edocnode.domain.official_numbers import day_in_viet_nam


def same_number_key(listing: Mapping[str, str], sender: str, kept_at: datetime) -> str:
    """What two documents share that have one official number; empty without number and notation.

    Args:
        listing: See ``checks.document_listing``.
        sender: Code that sent it, which issued it unless the listing names another.
        kept_at: Its year in Viet Nam counts when the document has no day of issue.
    """
    number, notation = listing.get("number", ""), listing.get("notation", "")
    if not number or not notation:
        return ""
    year = listing.get("issued_date", "")[:4] or str(day_in_viet_nam(kept_at).year)
    issuer = listing.get("issuer", "") or sender
    return f"{issuer}|{year}|{number.lstrip('0')}|{folded(notation)}"
