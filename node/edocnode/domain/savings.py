"""What electronic documents saved, estimated: assumptions times counts, both shown."""

from dataclasses import dataclass

from edocnode.domain.statistics import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingAssumptions:
    """What a document on paper would have cost for each recipient. Guesses that an agency replaces.

    Attributes:
        pages: Pages of a document.
        page_vnd: Printing a page.
        postage_vnd: Envelope and postage.
        handling_min: Minutes of a clerk on both sides together.
        minute_vnd: A minute of a clerk.
    """

    pages: int = 3
    page_vnd: int = 500
    postage_vnd: int = 12_000
    handling_min: int = 10
    minute_vnd: int = 600

    @property
    def delivery_vnd(self) -> int:
        """What one delivery on paper costs."""
        return self.pages * self.page_vnd + self.postage_vnd + self.handling_min * self.minute_vnd


def saved_vnd(figures: Figures, assumed: SavingAssumptions) -> int:
    """Estimates what was saved, in VND.

    Deliveries of documents that went on paper too saved nothing; they are taken to have as many
    recipients as the others.
    """
    if not figures.sent_documents:
        return 0
    electronic = figures.sent_documents - figures.paper
    return figures.sent * electronic * assumed.delivery_vnd // figures.sent_documents
