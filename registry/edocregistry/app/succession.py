"""What officers order about the life of agencies: names, mergers, division."""

from collections.abc import Sequence
from datetime import datetime

from edocregistry.app.registry import Registry
from edocregistry.domain import agencies, succession
from edocregistry.domain.model import Agency


def rename(
    registry: Registry, actor: str, code: str, *, name: str | None, aliases: tuple[str, ...]
) -> Agency:
    """Gives an agency another name or more codes; see ``domain.agencies.rename_agency``."""
    return registry.order(
        actor,
        f"agency rename {code}",
        lambda records, now: agencies.rename_agency(
            records, code, name=name, aliases=aliases, now=now
        ),
    )


def merge(
    registry: Registry,
    actor: str,
    codes: Sequence[str],
    into: str,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    at: datetime | None = None,
) -> list[Agency]:
    """Merges agencies, at a moment or now; see ``domain.succession.merge_agencies``."""
    return registry.order(
        actor,
        f"agency merge {' '.join(codes)} --into {into}",
        lambda records, now: succession.merge_agencies(
            records, codes, into, name=name, aliases=aliases, at=at or now, now=now
        ),
    )


def reorganise(
    registry: Registry,
    actor: str,
    mergers: Sequence[succession.Merger],
    at: datetime | None = None,
) -> list[Agency]:
    """Carries out a reform in one version; see ``domain.succession.reorganise``."""
    return registry.order(
        actor,
        f"agency reorganise ({len(mergers)} mergers)",
        lambda records, now: succession.reorganise(records, mergers, at=at or now, now=now),
    )


def split(
    registry: Registry, actor: str, code: str, into: Sequence[str], at: datetime | None = None
) -> list[Agency]:
    """Splits an agency, at a moment or now; see ``domain.succession.split_agency``."""
    return registry.order(
        actor,
        f"agency split {code} --into {' '.join(into)}",
        lambda records, now: succession.split_agency(records, code, into, at=at or now, now=now),
    )
