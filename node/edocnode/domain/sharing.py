"""One document to several agencies behind one node: its large parts travel once.

The recipient asks for no part that this sender delivered there before. So of the deliveries of one
document the first goes ahead, and the others follow when it was delivered; when it was not, the
next goes ahead.
"""

from collections import OrderedDict

from edocnode.domain.delivery import is_offer
from edocnode.domain.model import DocumentId, QueuedDelivery

REMEMBERED = 1000  # documents whose parts are at the peer


class OneAhead:
    """Which deliveries to one peer may be offered, told by keys of the caller's choice."""

    def __init__(self) -> None:
        """Begins with nothing under way."""
        self._ahead: dict[DocumentId, bytes] = {}
        self._following: dict[DocumentId, list[bytes]] = {}
        self._delivered: OrderedDict[DocumentId, None] = OrderedDict()

    def may_go(self, key: bytes, delivery: QueuedDelivery) -> bool:
        """Whether to offer it now; otherwise ``ended`` of another names it when it may."""
        document = delivery.document_id
        if not is_offer(delivery) or document in self._delivered:
            return True
        if self._ahead.setdefault(document, key) == key:
            return True
        self._following.setdefault(document, []).append(key)
        return False

    def ended(self, key: bytes, delivery: QueuedDelivery, *, delivered: bool) -> list[bytes]:
        """Notes that a delivery is no longer under way; returns those to offer now."""
        document = delivery.document_id
        if delivered and is_offer(delivery):
            self._delivered[document] = None
            if len(self._delivered) > REMEMBERED:
                self._delivered.popitem(last=False)
        if self._ahead.get(document) != key:
            return []
        del self._ahead[document]
        return self._following.pop(document, [])
