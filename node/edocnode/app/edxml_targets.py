"""Finds the documents that packages speak of by their ``DocumentId``, and says why it cannot.

edXML names a document by its official code, or by the exchange's own id when it has none. Only the
agency that sent a document revokes, updates or replaces it, and only one that received it tells
what it did with it, also when one node serves both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edoccore.errors import (
    DecisionConflictError,
    DocumentUnknownError,
    EdocError,
    IdAmbiguousError,
)
from edoccore.office_errors import EdxmlInvalidError
from edocnode.domain.searching import MAX_TEXT, MAX_WORDS
from edocnode.edxml.findings import error_of, finding
from edocnode.edxml.model import ActionKind, BridgeAction, Target
from edocnode.edxml.values import is_id
from edocnode.rpc.client_values import Json
from edocnode.rpc.office_client import OfficeClient, Wanted

_PAGE = 1000  # documents
_MOMENT = timedelta(seconds=1)  # around a time that is shown in milliseconds

Shown = Mapping[str, Any]  # a document as lists have it


@dataclass(frozen=True, slots=True)
class Targets:
    """The documents of one node, by what packages call them."""

    office: OfficeClient
    known: Callable[[str], Sequence[str]] = lambda _code: ()  # messages by what they were read as

    def named_sent(self, code: str, *, agency: str = "") -> Iterator[Shown]:
        """Documents sent from here that have this code or id, newest first; each version is one."""
        if is_id(code):
            sent = self._of_id(code)["sent"]
            found = [sent] if sent else []
            yield from self._of(self.office.outbox, found, "created_at", agency)
        else:
            yield from _coded(self.office.outbox, code, agency)

    def named_received(self, code: str, *, agency: str = "") -> Iterator[Shown]:
        """Received documents that have this code, id or message id, newest first."""
        if is_id(code):
            found = self._of_id(code)["received"]
            yield from self._of(self.office.inbox, found, "received_at", agency)
        else:
            yield from _coded(self.office.inbox, code, agency)

    def sent(self, target: Target, agency: str) -> Shown:
        """The document of an agency that a package revokes, updates or replaces.

        Raises:
            DocumentUnknownError: It was not sent from here, or by another agency.
        """
        code = target.document_code
        found = next(self.named_sent(code, agency=agency), None)
        if found is not None:
            return found
        other = next(self.named_sent(code), None) or next(self.named_received(code), None)
        if other is None:
            raise _refused(DocumentUnknownError, "TARGET_UNKNOWN", target)
        raise _refused(
            DocumentUnknownError, "TARGET_NOT_OURS", target, agency=other["sender"], sender=agency
        )

    def received(self, target: Target, agency: str) -> str:
        """The delivery to an agency that a status message speaks of.

        Raises:
            DocumentUnknownError: It is not in the inbox.
        """
        code = target.document_code
        for name in (code, *self.known(code)):  # an update may have given it another
            for item in self.named_received(name, agency=agency):
                return str(item["message_id"])
        raise _refused(DocumentUnknownError, "TARGET_NOT_RECEIVED", target, agency=agency)

    def check_recipients(self, action: BridgeAction, target: Target, sent: Shown) -> None:
        """Checks that an update goes to those who have the document, a replacement to all of them.

        Raises:
            EdxmlInvalidError: It goes to others; says to whom.
        """
        deliveries = self.office.deliveries(sent["document_id"])["deliveries"]
        had = {each["recipient"] for each in deliveries}
        update = action.kind is ActionKind.UPDATE
        lists = [_meant(action) if update else {*action.recipients}, {*target.receivers}]
        for named in filter(None, lists):
            missing, more = self._compared(sent, had, named)
            for code, agencies in (("MISSING", missing), ("ADDED", more if update else ())):
                if agencies:
                    raise _refused(
                        *(EdxmlInvalidError, f"RECIPIENTS_{code}", target),
                        agencies=", ".join(agencies),
                    )

    def conflict(self, targets: Mapping[str, Target], told: DecisionConflictError) -> EdocError:
        """Says of a change that the node refused which document it is about, and why.

        Args:
            targets: By document id.
        """
        for document_id, target in targets.items():
            sent = self.office.document(document_id)["sent"]
            if sent["taken_back"]:
                return _refused(DecisionConflictError, "TARGET_REVOKED", target)
            for link in sent["links"]:
                if link["kind"] == "replaced_by":
                    later = self.office.document(link["document_id"])["sent"] or {}
                    named = later.get("document_code") or link["document_id"]
                    return _refused(DecisionConflictError, "TARGET_REPLACED", target, later=named)
        return told

    def _of_id(self, text: str) -> Shown:
        """All that is known of what an id names."""
        try:
            return self.office.document(text)
        except (DocumentUnknownError, IdAmbiguousError):
            return {"sent": None, "received": []}

    def _of(
        self, list_page: Callable[..., Json], found: Sequence[Shown], at: str, agency: str
    ) -> Iterator[Shown]:
        """Those that an agency has, whichever of its codes is used."""
        for each in found:
            if not agency or _is_listed(list_page, each, at, agency=agency):
                yield each

    def _compared(
        self, sent: Shown, had: set[str], named: set[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Who is not named of those who have a document, and who is named besides."""
        missing, more = sorted(had - named), sorted(named - had)
        others = [
            code
            for code in more
            if not _is_listed(self.office.outbox, sent, "created_at", other=code)
        ]
        spelt_otherwise = len(more) - len(others)
        return missing if len(missing) > spelt_otherwise else [], others


def _is_listed(
    list_page: Callable[..., Json], item: Shown, at: str, *, agency: str = "", other: str = ""
) -> bool:
    """Whether a document is in the list of an agency, or went to another one; any code will do."""
    moment = datetime.fromisoformat(item[at])
    wanted = Wanted(other_agency=other, since=moment - _MOMENT, until=moment + _MOMENT)
    found = _all(list_page, wanted, agency)
    return any(each["document_id"] == item["document_id"] for each in found)


def _coded(list_page: Callable[..., Json], code: str, agency: str) -> Iterator[Shown]:
    words = " ".join(code.split()[:MAX_WORDS])[:MAX_TEXT]
    found = _all(list_page, Wanted(text=words), agency)
    return (item for item in found if item["document_code"] == code)


def _all(list_page: Callable[..., Json], wanted: Wanted, agency: str) -> Iterator[Shown]:
    after = ""
    while True:
        page = list_page(agency=agency, state="", limit=_PAGE, after=after, wanted=wanted)
        yield from page["documents"]
        after = page["next"]
        if not after:
            return


def _meant(action: BridgeAction) -> set[str]:
    """To whom an update goes, with the receivers that it adds and without those it removes."""
    changes = action.fields.get("recipient_changes", ())
    added, removed = (
        {each["code"] for each in changes if each["change"] == change}
        for change in ("added", "removed")
    )
    return ({*action.recipients} | added) - removed


def _refused(kind: type[EdocError], code: str, target: Target, **facts: str) -> EdocError:
    document = target.document_code
    return error_of(
        kind, finding(code, line=target.line, element="DocumentId", document=document, **facts)
    )
