"""The directory as the exchange sees it: one immutable value.

Answers who owns a code, who seals with which key, where a node is reached and whose a TLS
certificate is. All of it was checked by ``loading``; whether the directory itself is still fresh is
judged by ``state``, and which may follow which by ``trust``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory import floor as floors
from edoccore.directory.endpoints import Endpoint, TlsPin
from edoccore.directory.extension import Extension
from edoccore.directory.floor import Floor
from edoccore.directory.layout import IdentityEntry, NetworkInfo, moment_of
from edoccore.directory.ownership import Agency, Ownership
from edoccore.directory.revocations import Revocations
from edoccore.directory.roles import RootChain
from edoccore.directory.seals import PastSeals, SealBook
from edoccore.directory.subagencies import SubAgencyList
from edoccore.errors import PeerNotTrustedError
from edoccore.identity.keys import PublicKey
from edoccore.signing.statements import DirectoryMark, Seal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Directory:
    """A verified directory.

    Attributes:
        info: Network, registry, issuing authorities.
        mark: What seals say of it: version and hash of the snapshot.
        files: Exact bytes of all its files by name as served; what a node mirrors.
        chain: Root files from the anchor on.
        versions: Of every role.
        expiries: Of every role, bins too; judged by ``state.judge``.
        identities: Entry of every agency, by code.
        ownership: Which code is whose.
        seals: Certificates that seal.
        endpoints: Checked endpoint statements by agency; ``endpoint`` says which hold.
        lists: What agencies list as their sub-agencies, by agency; ``ownership`` says what of it
            counts.
        revocations: All that is known to be revoked.
        counters: Highest counter of an endpoint statement ever seen, by agency.
        list_counters: Highest counter of a list ever seen, by agency.
        problems: What was left out because it could not be trusted, one line each.
        refused: Why an entry was left out, by its path.
        pins: All listed TLS certificates by SHA-256; ``tls_agency`` says which hold.
        extension: The officers' extension that holds for it, ended or not, if there is one.
    """

    info: NetworkInfo
    mark: DirectoryMark
    files: Mapping[str, bytes]
    chain: RootChain
    versions: Mapping[str, int]
    expiries: Mapping[str, datetime]
    identities: Mapping[str, IdentityEntry]
    ownership: Ownership
    seals: SealBook
    endpoints: Mapping[str, Endpoint]
    lists: Mapping[str, SubAgencyList]
    revocations: Revocations
    counters: Mapping[str, int]
    list_counters: Mapping[str, int]
    problems: tuple[str, ...]
    refused: Mapping[str, str]
    pins: Mapping[str, TlsPin]
    extension: Extension | None = None

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.info.network

    def not_before(self, at: datetime) -> datetime:
        """The moment by a clock that may be behind: never before this directory was published."""
        return max(at, moment_of(self.mark.version))

    def agency(self, code: str) -> Agency:
        """Looks up a code: of an agency, an alias, or a code that an agency owns.

        Raises:
            AgencyUnknownError: No agency in the directory has it.
        """
        return self.ownership.agency(code)

    def owner_of(self, code: str, at: datetime) -> str:
        """The agency that owned a code at a moment.

        Raises:
            AgencyUnknownError: None did.
        """
        return self.ownership.owner_of(code, at)

    def owns(self, owner: str, code: str) -> bool:
        """Whether ``code`` is listed as ``owner``'s, in exactly this spelling."""
        return self.ownership.owns(owner, code)

    def is_closed(self, code: str) -> bool:
        """Whether a code ended while its owner goes on; it still stands for what it was."""
        return self.ownership.is_closed(code)

    def node_of(self, code: str, at: datetime) -> str:
        """The agency whose node serves a code at a moment; follows successions.

        Raises:
            AgencyUnknownError: No agency has the code.
            AgencyInactiveError: Its owner is suspended or not there yet.
            AgencyEndedError: Its owner ended without exactly one successor.
        """
        return self.ownership.node_of(code, self.not_before(at))

    def accepts(self, owner: str, code: str, at: datetime) -> bool:
        """Whether the node of agency ``owner`` takes documents for ``code`` at a moment."""
        return self.ownership.accepts(owner, code, self.not_before(at))

    def answering_node(self, node: str, code: str, at: datetime) -> str:
        """The node for a word about a document of before; see ``ownership``."""
        return self.ownership.answering_node(node, code, self.not_before(at))

    def end_of(self, owner: str) -> datetime | None:
        """When an agency ends or ended; None: nothing is decided, or there is no such agency."""
        found = self.ownership.owners.get(owner)
        return None if found is None else found.valid_to

    def has_ended(self, owner: str, at: datetime) -> bool:
        """Whether the end of an agency has come by a moment."""
        end = self.end_of(owner)
        return end is not None and end <= self.not_before(at)

    def how_it_ended(self, owner: str) -> str:
        """What became of an agency that ends, as a clause with its successors."""
        return self.ownership.owners[owner].how_it_ended()

    def endpoint(self, owner: str, at: datetime) -> Endpoint | None:
        """Where the node of an agency is reached.

        Returns:
            None when the agency answers nobody at that moment, or has no endpoint statement under
            a seal that is valid then.
        """
        found = self.endpoints.get(owner)
        return found if found is not None and self._holds(found, at) else None

    def tls_pins(self, at: datetime) -> list[TlsPin]:
        """All TLS certificates that may connect at a moment, in the order of their agencies."""
        return [
            pin
            for _, found in sorted(self.endpoints.items())
            if self._holds(found, at)
            for pin in self.usable_pins(found, at)
        ]

    def usable_pins(self, endpoint: Endpoint, at: datetime) -> list[TlsPin]:
        """The TLS certificates of an endpoint that are neither revoked nor out of date."""
        return [pin for pin in endpoint.pins if self._is_usable(pin, at)]

    def tls_agency(self, sha256: str, at: datetime) -> str:
        """The agency that a TLS certificate stands for.

        Args:
            sha256: Of the certificate (DER), lower hex.
            at: Now.

        Raises:
            PeerNotTrustedError: Not listed, revoked, out of date, or its agency is not active.
        """
        pin = self.pins.get(sha256)
        revocation = self.revocations.find(sha256)
        if revocation is not None:
            raise _not_trusted(sha256, f"it was revoked ({revocation.reason})")
        if pin is None:
            raise _not_trusted(sha256, "it is not in the directory in force")
        if not pin.is_valid(at):
            raise _not_trusted(sha256, f"it is not valid at {at.isoformat()}")
        if not self._holds(self.endpoints[pin.agency], at):
            raise _not_trusted(sha256, f"{pin.agency} is not active, or its seal has ended")
        return pin.agency

    def seal_key(self, seal: Seal, at: datetime) -> PublicKey:
        """Finds the key for a seal that arrives now; see ``signing.seal.SealTrust``.

        Raises:
            AgencyUnknownError: The signer is not in the directory.
            SealCertificateError: Certificate not the signer's, revoked, or not valid at ``at`` and
                at the seal's own time; or the signer is not active.
        """
        return self.seals.seal_key(seal, at, heard_at=self.not_before(at))

    def past_seals(self) -> PastSeals:
        """Trust in seals whose time was proven, for evidence."""
        return PastSeals(self.seals, self.ownership.owners)

    def floor(self) -> Floor:
        """What a reader must never fall below after this directory."""
        registry = self.endpoints.get(self.info.registry)
        return Floor(
            versions=dict(self.versions),
            snapshot=self.mark.hash,
            online_keys=self.chain.online_keys(),
            counters=dict(self.counters),
            lists=dict(self.list_counters),
            revoked=floors.keep_revocations(self.revocations),
            registry=registry.addresses if registry else (),
        )

    def _holds(self, endpoint: Endpoint, at: datetime) -> bool:
        return (
            self.ownership.owners[endpoint.agency].answers(self.not_before(at))
            and endpoint.listed.is_valid(at)
            and endpoint.listed.revocation(self.revocations) is None
        )

    def _is_usable(self, pin: TlsPin, at: datetime) -> bool:
        return at <= pin.not_after and self.revocations.find(pin.sha256) is None


def _not_trusted(sha256: str, why: str) -> PeerNotTrustedError:
    return PeerNotTrustedError(
        f"The TLS certificate {sha256[:16]}… is not accepted: {why}.", certificate=sha256
    )
