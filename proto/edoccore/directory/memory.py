"""What checking a directory's bins has shown, so that the same files need not be checked twice.

Of a nation's directory nearly all time goes into 10,000 signatures, and into reading certificates.
A program keeps what ``encode`` makes beside the files it was made of, on a disk that nobody else
writes to, and hands it to ``loading.load`` with the same files. It counts for one snapshot: root,
timestamp, snapshot and the roles above the bins are verified as ever, and each bin is held against
its hash in that snapshot. What is not remembered, because it may change with time or with other
files, is judged anew: revocations, ownership, counters, dates.

Whoever can write this can have any key believed. So can whoever writes the name of the root that a
node trusts, or its private keys, which lie in the same folder.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from edoccore.directory import layout
from edoccore.directory.endpoints import Endpoint, TlsPin, remember_endpoint
from edoccore.directory.layout import IdentityEntry, SealListing
from edoccore.directory.seals import ListedSeal, remember_listing
from edoccore.directory.subagencies import SubAgencyList, remember_list
from edoccore.directory.view import Directory
from edoccore.errors import AgencyUnknownError, SealCertificateError, StorageDamagedError
from edoccore.identity.certificate import certificate_digest
from edoccore.signing.readers import packed_reader_of
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import SubAgency


class Remembered(NamedTuple):
    """What a memory holds of the bins.

    Attributes:
        expiries: Of each bin.
        identities: By code.
        sealed: Endpoint statements and lists of sub-agencies by path; only such as were accepted.
        refused: Why an entry was left out, by its path.
    """

    expiries: Mapping[str, datetime]
    identities: dict[str, IdentityEntry]
    sealed: dict[str, SealedStatement]
    refused: Mapping[str, str]


class _Chain(Struct, frozen=True, array_like=True):
    """A ``ListedSeal``: where its listing stands, and its issuers by place in the memory."""

    agency: str
    place: int
    certificate: bytes
    issuers: tuple[int, ...]
    serials: tuple[tuple[str, str], ...]  # too large for msgpack's integers
    not_before: datetime
    not_after: datetime


class _Pin(Struct, frozen=True, array_like=True):
    certificate: bytes
    not_before: datetime
    not_after: datetime


class _Checked(Struct, frozen=True, array_like=True):
    """An ``Endpoint``; ``seal`` is the place of its certificate among the chains."""

    agency: str
    addresses: tuple[str, ...]
    server_name: str
    pins: tuple[_Pin, ...]
    abilities: tuple[str, ...]
    counter: int
    seal: int
    sealed: SealedStatement


class _CheckedList(Struct, frozen=True, array_like=True):
    """A ``SubAgencyList``; ``seal`` as in ``_Checked``."""

    agency: str
    counter: int
    entries: tuple[SubAgency, ...]
    seal: int
    time: datetime
    sealed: SealedStatement


class _Memory(Struct, frozen=True, kw_only=True):
    software: str
    snapshot: str
    expiries: dict[str, datetime]
    identities: tuple[IdentityEntry, ...]
    refused: dict[str, str]
    issuers: tuple[bytes, ...]
    chains: tuple[_Chain, ...]
    endpoints: tuple[_Checked, ...]
    lists: tuple[_CheckedList, ...]


_ENCODER = msgspec.msgpack.Encoder()


def encode(directory: Directory, software: str) -> bytes:
    """Writes what was found while a directory was loaded.

    Args:
        directory: Verified.
        software: What checked it, with its version; only the same reads it.
    """
    issuers: dict[bytes, int] = {}
    chains: dict[ListedSeal, _Chain] = {}
    for entry in directory.identities.values():
        for place, listed in _listed(directory, entry):
            chains[listed] = _chain_of(listed, place, issuers)
    places = {listed: place for place, listed in enumerate(chains)}
    bins = [name for parent in layout.BINNED_ROLES for name in layout.bin_names(parent)]
    memory = _Memory(
        software=software,
        snapshot=directory.mark.hash,
        expiries={name: directory.expiries[name] for name in bins},
        identities=tuple(directory.identities.values()),
        refused=dict(directory.refused),
        issuers=tuple(issuers),
        chains=tuple(chains.values()),
        endpoints=tuple(_checked_of(item, places) for item in directory.endpoints.values()),
        lists=tuple(_checked_list(item, places) for item in directory.lists.values()),
    )
    return _ENCODER.encode(memory)


class Memory:
    """A memory that was read, and not yet believed to be of any files."""

    def __init__(self, data: bytes, software: str) -> None:
        """Reads what ``encode`` wrote.

        Raises:
            StorageDamagedError: The bytes are no memory.
        """
        try:
            self._memory = packed_reader_of(_Memory).decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise StorageDamagedError("What is remembered of the directory is damaged.") from error
        self._software = software

    def is_of(self, snapshot: str) -> bool:
        """Whether it was made by this software of the files that a snapshot names.

        Args:
            snapshot: SHA-256 of the snapshot file, whose signature was checked.
        """
        memory = self._memory
        return (memory.software, memory.snapshot) == (self._software, snapshot)

    def recall(self, network: str, authorities: tuple[str, ...]) -> Remembered:
        """Gives back what was found, and spares ``SealBook`` and ``check_endpoint`` the same work.

        Args:
            network: As the verified directory says.
            authorities: Its issuing authorities; a chain counts for these alone.
        """
        memory = self._memory
        identities = {entry.code: entry for entry in memory.identities}
        digests = [certificate_digest(issuer) for issuer in memory.issuers]
        seals = [_listed_seal(chain, memory.issuers, digests) for chain in memory.chains]
        for chain, listed in zip(memory.chains, seals, strict=True):
            listing = identities[chain.agency].seals[chain.place]
            remember_listing(chain.agency, listing, authorities, listed=listed)
        sealed = {}
        for item in memory.endpoints:
            sealed[layout.endpoint_path(item.agency)] = item.sealed
            remember_endpoint(_endpoint(item, seals[item.seal]), network)
        for kept in memory.lists:
            sealed[layout.subagencies_path(kept.agency)] = kept.sealed
            remember_list(_list(kept, seals[kept.seal]), network)
        return Remembered(memory.expiries, identities, sealed, memory.refused)


def _listed(directory: Directory, entry: IdentityEntry) -> Iterator[tuple[int, ListedSeal]]:
    """The accepted certificates of an entry, with their places in it."""
    for place, listing in enumerate(entry.seals):
        try:
            yield place, directory.seals.listed(entry.code, _digest(listing))
        except (AgencyUnknownError, SealCertificateError):
            continue  # refused, and judged again the next time


def _digest(listing: SealListing) -> str:
    return certificate_digest(layout.from_base64(listing.certificate))


def _chain_of(listed: ListedSeal, place: int, issuers: dict[bytes, int]) -> _Chain:
    certificate, *above = listed.chain
    return _Chain(
        agency=listed.agency,
        place=place,
        certificate=certificate,
        issuers=tuple(issuers.setdefault(issuer, len(issuers)) for issuer in above),
        serials=tuple((key, str(serial)) for key, serial in listed.serials),
        not_before=listed.not_before,
        not_after=listed.not_after,
    )


def _listed_seal(chain: _Chain, issuers: tuple[bytes, ...], digests: list[str]) -> ListedSeal:
    own = chain.certificate
    return ListedSeal(
        agency=chain.agency,
        chain=(own, *(issuers[place] for place in chain.issuers)),
        digests=(certificate_digest(own), *(digests[place] for place in chain.issuers)),
        serials=tuple((key, int(serial)) for key, serial in chain.serials),
        not_before=chain.not_before,
        not_after=chain.not_after,
    )


def _checked_of(endpoint: Endpoint, places: Mapping[ListedSeal, int]) -> _Checked:
    return _Checked(
        agency=endpoint.agency,
        addresses=endpoint.addresses,
        server_name=endpoint.server_name,
        pins=tuple(_pins(endpoint.pins)),
        abilities=endpoint.abilities,
        counter=endpoint.counter,
        seal=places[endpoint.listed],
        sealed=endpoint.sealed,
    )


def _checked_list(found: SubAgencyList, places: Mapping[ListedSeal, int]) -> _CheckedList:
    return _CheckedList(
        found.agency, found.counter, found.entries, places[found.listed], found.time, found.sealed
    )


def _list(item: _CheckedList, listed: ListedSeal) -> SubAgencyList:
    return SubAgencyList(
        agency=item.agency,
        counter=item.counter,
        entries=item.entries,
        listed=listed,
        time=item.time,
        sealed=item.sealed,
    )


def _pins(pins: Iterable[TlsPin]) -> Iterator[_Pin]:
    for pin in pins:
        yield _Pin(pin.certificate, pin.not_before, pin.not_after)


def _endpoint(item: _Checked, listed: ListedSeal) -> Endpoint:
    return Endpoint(
        agency=item.agency,
        addresses=item.addresses,
        server_name=item.server_name,
        pins=tuple(
            TlsPin(
                item.agency,
                certificate_digest(pin.certificate),
                pin.certificate,
                pin.not_before,
                pin.not_after,
            )
            for pin in item.pins
        ),
        abilities=item.abilities,
        counter=item.counter,
        listed=listed,
        sealed=item.sealed,
    )
