"""What changes from one directory to the next, in words that officers can judge.

Computed from the bytes that are signed. Each line is one change that gives or takes something:
an agency, a name, a key, a state. Roles that are only signed again are one line together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from msgspec import UNSET, UnsetType
from tuf.api.metadata import Root, Targets

from edoccore.directory import layout
from edoccore.directory.layout import (
    IdentityEntry,
    LogInfo,
    NetworkInfo,
    SealListing,
    from_base64,
)
from edoccore.errors import DirectoryInvalidError
from edoccore.identity.certificate import UNREADABLE, certificate_digest
from edoccore.officer_errors import DraftInvalidError
from edocregistry.domain.drafting import Draft
from edocregistry.domain.publication import Contents, Holders

SHOWN = 16  # hex digits of a key id or a fingerprint that people compare


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        agency: Code of the agency it is about; empty: the network or the root.
        text: In words.
    """

    agency: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What officers say: the network, and who exists."""

    network: NetworkInfo
    identities: Mapping[str, IdentityEntry]


def wanted_by(contents: Contents) -> Said:
    """What the records want to be said."""
    return Said(contents.network, {entry.code: entry for entry in contents.identities})


def said_in(targets_of: Callable[[str], Targets]) -> Said:
    """What the roles of the officers say, each found by its name.

    Raises:
        DraftInvalidError: An entry cannot be read.
    """
    identities: dict[str, IdentityEntry] = {}
    try:
        top = targets_of(layout.TARGETS).targets
        network = layout.read_target(top[layout.NETWORK_PATH], NetworkInfo)
        for name in layout.bin_names(layout.IDENTITY):
            for path, target in targets_of(name).targets.items():
                entry = layout.read_target(target, IdentityEntry)
                if path != layout.identity_path(entry.code):
                    raise DirectoryInvalidError(f"The entry {path} is of {entry.code}.")
                identities[entry.code] = entry
    except (DirectoryInvalidError, KeyError) as error:
        raise DraftInvalidError(f"The draft cannot be used: {error}.") from error
    return Said(network, identities)


def changes_of(draft: Draft) -> list[Change]:
    """Everything that a draft changes, keys of the root first.

    Raises:
        DraftInvalidError: An entry cannot be read.
    """
    before = draft.before
    found = list(_root_changes(before.chain.root, draft.root))
    found += changes_between(said_in(draft.targets_before), said_in(draft.targets))
    below = [item.signed.expires for role, item in draft.roles.items() if role != layout.ROOT]
    if below:
        until = min(below).isoformat()
        found.append(Change("", f"Roles signed anew: {len(below)}, which hold until {until}."))
    return found


def changes_between(before: Said, after: Said) -> list[Change]:
    """What the second says otherwise than the first, by code."""
    found = list(_network_changes(before.network, after.network))
    for code in sorted({*before.identities, *after.identities}):
        found += _agency_changes(code, before.identities.get(code), after.identities.get(code))
    return found


def short(digest: str) -> str:
    """The part of a key id or fingerprint that is shown in lists."""
    return digest[:SHOWN]


def _root_changes(before: Root, after: Root) -> Iterator[Change]:
    if before.version == after.version:
        return
    yield Change("", f"Root {before.version} is followed by root {after.version}.")
    old, new = before.roles[layout.ROOT], after.roles[layout.ROOT]
    yield from _key_changes("officer of the root", old.keyids, new.keyids)
    if old.threshold != new.threshold:
        yield Change(
            "",
            f"The next root needs {new.threshold} officers of {len(new.keyids)}, "
            f"not {old.threshold}.",
        )
    held, holds = Holders.of(before), Holders.of(after)
    ids = [[key.keyid for key in holders.identity] for holders in (held, holds)]
    yield from _key_changes("identity key", *ids)
    if held.threshold != holds.threshold:
        yield Change(
            "",
            f"Who exists is signed by {holds.threshold} of {len(holds.identity)} keys, "
            f"not by {held.threshold}.",
        )
    online = [[key.keyid for key in holders.online] for holders in (held, holds)]
    yield from _key_changes("online key of the registry", *online)


def _key_changes(what: str, before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    for keyid in before:
        if keyid not in after:
            yield Change("", f"The {what} {short(keyid)} ends.")
    for keyid in after:
        if keyid not in before:
            yield Change("", f"The {what} {short(keyid)} is new.")


def _network_changes(before: NetworkInfo, after: NetworkInfo) -> Iterator[Change]:
    if (before.network, before.registry) != (after.network, after.registry):
        yield Change(
            "",
            f"The network {before.network} with registry {before.registry} becomes "
            f"{after.network} with {after.registry}.",
        )
    for text in before.issuing_authorities:
        if text not in after.issuing_authorities:
            yield Change("", f"The issuing authority {_certificate(text)} ends.")
    for text in after.issuing_authorities:
        if text not in before.issuing_authorities:
            yield Change("", f"The issuing authority {_certificate(text)} is new.")
    yield from _retirements(before, after)
    for text in before.outside_authorities:
        if text not in after.outside_authorities:
            yield Change("", f"The CA outside the network {_certificate(text)} ends.")
    for text in after.outside_authorities:
        if text not in before.outside_authorities:
            yield Change("", f"The CA outside the network {_certificate(text)} is trusted.")
    yield from _log_changes(before.log, after.log)


def _log_changes(before: LogInfo | UnsetType, after: LogInfo | UnsetType) -> Iterator[Change]:
    if after is UNSET:
        if before is not UNSET:
            yield Change("", "The log of published versions ends.")
        return
    if before is UNSET:
        before = LogInfo(key="")
    if before.key != after.key:
        yield Change("", f"The log of published versions is signed by the key {after.key}.")
    old, new = ({item.agency: item.key for item in info.witnesses} for info in (before, after))
    for agency in sorted({*old, *new}):
        if agency not in new:
            yield Change("", f"{agency} no longer watches over the log.")
        elif old.get(agency) != new[agency]:
            yield Change("", f"{agency} watches over the log with the key {new[agency]}.")
    if before.threshold != after.threshold:
        yield Change(
            "",
            f"Of {len(after.witnesses)} witnesses of the log {after.threshold} must cosign, "
            f"no longer {before.threshold}.",
        )


def _retirements(before: NetworkInfo, after: NetworkInfo) -> Iterator[Change]:
    known = set(before.retired_authorities)
    for retired in (item for item in after.retired_authorities if item not in known):
        yield Change(
            "",
            f"The issuing authority {retired.sha256} is retired since {retired.since}: what it "
            f"issued before stays good, what begins later is refused.",
        )
    for returned in known - set(after.retired_authorities):
        yield Change("", f"The issuing authority {returned.sha256} is no longer retired.")


def _agency_changes(
    code: str, before: IdentityEntry | None, after: IdentityEntry | None
) -> Iterator[Change]:
    if after is None:
        yield Change(code, f"{code} is removed from the directory.")
        return
    if before is None:
        yield Change(code, f"{code} ({after.name}) is added.")
        before = IdentityEntry(
            code=code, name=after.name, state=layout.AgencyState.ACTIVE, valid_from=after.valid_from
        )
    if before.name != after.name:
        yield Change(code, f"{code} is called '{after.name}', no longer '{before.name}'.")
    yield from _life_changes(code, before, after)
    yield from _code_changes(code, before, after)
    yield from _seal_changes(code, before.seals, after.seals)
    minimums = [(entry.minimum_suite, entry.minimum_since) for entry in (before, after)]
    if minimums[0] != minimums[1]:
        since = after.minimum_since or after.valid_from
        yield Change(
            code,
            f"{code} seals with suite {after.minimum_suite} at least since {since}, "
            f"no longer {before.minimum_suite}.",
        )


def _life_changes(code: str, before: IdentityEntry, after: IdentityEntry) -> Iterator[Change]:
    if before.valid_from != after.valid_from:
        yield Change(code, f"{code} exists from {after.valid_from}, not {before.valid_from}.")
    ends = (after.state, after.valid_to, after.successors)
    if ends == (before.state, before.valid_to, before.successors):
        return
    if not after.valid_to:
        yield Change(code, f"{code} is {after.state.lower()}, no longer {before.state.lower()}.")
    elif not after.successors:
        yield Change(code, f"{code} ends at {after.valid_to}: it is closed, nobody follows it.")
    elif len(after.successors) == 1:
        yield Change(
            code, f"{code} ends at {after.valid_to}: it is merged into {after.successors[0]}."
        )
    else:
        yield Change(
            code,
            f"{code} ends at {after.valid_to}: it is split into {', '.join(after.successors)}.",
        )


def _code_changes(code: str, before: IdentityEntry, after: IdentityEntry) -> Iterator[Change]:
    owned = [{item.code: item for item in entry.owns} for entry in (before, after)]
    lists = [
        ("alias", before.aliases, after.aliases),
        ("predecessor", before.predecessors, after.predecessors),
    ]
    for part in sorted({*owned[0], *owned[1]}):
        if part not in owned[1]:
            yield Change(code, f"{code} no longer owns {part}.")
        elif owned[0].get(part) != owned[1][part]:
            yield Change(code, f"{code} owns {part} ({owned[1][part].name}).")
    for space in sorted(set(before.spaces) ^ set(after.spaces)):
        if space in after.spaces:
            yield Change(code, f"{code} may list codes in the space {space} itself.")
        else:
            yield Change(code, f"{code} may no longer list codes in the space {space}.")
    for what, old, new in lists:
        if old != new:
            yield Change(code, f"{code} has as {what}: {', '.join(new) or 'none'}.")


def _seal_changes(
    code: str, before: Sequence[SealListing], after: Sequence[SealListing]
) -> Iterator[Change]:
    for seal in before:
        if seal not in after:
            what = _certificate(seal.certificate)
            yield Change(code, f"{code} loses the seal certificate {what}.")
    for seal in after:
        if seal not in before:
            what = _certificate(seal.certificate)
            yield Change(code, f"{code} gets the seal certificate {what}.")


def _certificate(text: str) -> str:
    der = from_base64(text)
    try:
        found = x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise DraftInvalidError("The draft cannot be used: a certificate is damaged.") from error
    ends = found.not_valid_after_utc.date().isoformat()
    return f"{certificate_digest(der)} (to {ends})"
