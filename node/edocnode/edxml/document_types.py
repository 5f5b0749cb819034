"""Types of documents between edXML's names and numbers and the codes of the code lists.

The numbers are data that an operator can correct (``storage/codes.toml``, setting ``code_lists``).
What a package says is kept beside what it was read as, so a wrong entry there loses nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edocnode.domain.codes import CodeEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTypes:
    """Both ways between names and codes.

    Attributes:
        by_name: Codes by name, case folded.
        by_code: Number, if there is one, and name for writing.
    """

    by_name: Mapping[str, str]
    by_code: Mapping[str, tuple[int | None, str]]

    def code(self, name: str) -> str:
        """How the record names a type; a name that is not listed stays as it is."""
        return self.by_name.get(name.casefold(), name)

    def written(self, document_type: str) -> tuple[int | None, str]:
        """Number and name that a package has; of a type that is not listed the name alone."""
        if document_type in self.by_code:
            return self.by_code[document_type]
        known = self.by_code.get(self.code(document_type))
        return (known[0] if known else None), document_type


def types_of(entries: Iterable[CodeEntry]) -> DocumentTypes:
    """The types of a code list, as packages have them: without what stands in brackets."""
    by_name: dict[str, str] = {}
    by_code: dict[str, tuple[int | None, str]] = {}
    for entry in entries:
        short = entry.vi.partition(" (")[0]
        for name in (entry.vi, short):
            by_name.setdefault(name.casefold(), entry.code)
        by_code[entry.code] = (entry.edxml, short)
    return DocumentTypes(by_name=by_name, by_code=by_code)
