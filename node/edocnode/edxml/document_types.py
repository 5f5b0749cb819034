"""Types of documents between edXML's names and numbers and the abbreviations of Decree 30/2020.

The numbers are data that an operator can correct (``document_types.json``). What a package says is
kept beside what it was read as, so a wrong line here loses nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

OFFICIAL_LETTER = "CV"  # Công văn has no abbreviation in law; this is what people write


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTypes:
    """Both ways between names and abbreviations.

    Attributes:
        by_name: Abbreviations by name, case folded.
        by_abbreviation: Number and name for writing.
    """

    by_name: Mapping[str, str]
    by_abbreviation: Mapping[str, tuple[int, str]]

    def abbreviation(self, name: str) -> str:
        """How the record names a type; a name that is not listed stays as it is."""
        return self.by_name.get(name.casefold(), name)

    def written(self, document_type: str) -> tuple[int | None, str]:
        """Number and name that a package has; of a type that is not listed the name alone."""
        if document_type in self.by_abbreviation:
            return self.by_abbreviation[document_type]
        known = self.by_abbreviation.get(self.abbreviation(document_type))
        return (known[0] if known else None), document_type


def parse_types(data: bytes) -> DocumentTypes:
    """Reads a list of types.

    Raises:
        ValueError: It is no such list.
    """
    by_name: dict[str, str] = {}
    by_abbreviation: dict[str, tuple[int, str]] = {}
    try:
        for item in json.loads(data)["types"]:
            number, name, short = int(item["number"]), str(item["name"]), str(item["abbreviation"])
            by_name.setdefault(name.casefold(), short)
            by_name.setdefault(name.partition(" (")[0].casefold(), short)
            if item["list"] == "B":
                by_abbreviation.setdefault(short, (number, name.partition(" (")[0]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no list of document types: {error}") from error
    return DocumentTypes(by_name=by_name, by_abbreviation=by_abbreviation)


@cache
def shipped_types() -> DocumentTypes:
    """The list that comes with the program."""
    place = resources.files("edocnode.edxml").joinpath("document_types.json")
    return parse_types(place.read_bytes())
