"""How an evidence file is packed: for the command line, which loads nothing else for it."""

from enum import StrEnum


class EvidenceFormat(StrEnum):
    """The packing; what is in the file is the same."""

    ZIP = "zip"
    ASIC_E = "asic-e"  # ETSI EN 319 162-1
