"""All fuzz targets by name."""

from tests.fuzz import (
    certificates,
    directory,
    edxml,
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
    )
    for target in group.TARGETS
}
