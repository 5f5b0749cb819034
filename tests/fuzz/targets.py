"""All fuzz targets by name."""

from tests.fuzz import (
    certificates,
    directory,
    edxml,
    encryption,
    evidence,
    messages,
    office,
    signatures,
    statements,
    texts,
)
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for group in (
        texts,
        statements,
        certificates,
        directory,
        messages,
        office,
        evidence,
        edxml,
        signatures,
        encryption,
    )
    for target in group.TARGETS
}
