"""A whole network for tests, in one process: a registry's keys, agencies, signed role files.

Everything is real (keys, certificates, CRL, TUF roles, sealed endpoint statements) and made with
the ``tuf`` library directly, not with the registry's code, so that tests of readers do not depend
on it. Nothing is written to disk.

    nation = Nation.create(now)
    hanoi = nation.add_agency("H26", "Ủy ban nhân dân thành phố Hà Nội", owns=("H26.1",))
    directory = nation.directory()      # publishes and loads
    files = nation.publish()            # the files that a registry serves, by name
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import UNSET
from msgspec.structs import replace
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edoccore.directory import layout, memory
from edoccore.directory.endpoints import to_entry
from edoccore.directory.extension import ExtensionStatement, encode_extension
from edoccore.directory.floor import NO_FLOOR, Floor
from edoccore.directory.layout import (
    AgencyState,
    IdentityEntry,
    NetworkInfo,
    OwnedCode,
    RetiredAuthority,
    RevocationEntry,
    RevocationKind,
    RevocationList,
    SealedEntry,
    SealListing,
    to_base64,
)
from edoccore.directory.loading import load
from edoccore.directory.memory import Memory
from edoccore.directory.view import Directory
from edoccore.identity.request import SealRequest
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import DirectoryMark, time_text
from edockit import certificates
from tests.support.agencies import LIFE, NO_MARK, Agency, new_uuid7, server_name, tls_certificate

__all__ = ["NO_MARK", "REGISTRY", "Agency", "Nation", "new_uuid7", "server_name", "tls_certificate"]

REGISTRY = "REGISTRY"


@dataclass(slots=True, kw_only=True)
class Nation:
    """The registry's side.

    Attributes:
        now: The moment at which the next things happen; move it as you like.
        officers: Keys of root (2 of 3).
        identity: Key of targets and identity.
        online: Key of endpoints and revocations; ``freshness`` of snapshot and timestamp.
        agencies: By code, the registry among them.
        former: Issuing CAs before this one, the newest first, ``former_crls`` their last lists.
        outside: Other CAs, DER; ``outside_crls`` their lists.
        entries: What the directory says of each agency, by code.
        files: What was published last, by name as served.
        anchor: SHA-256 of ``1.root.json``.
    """

    network: str
    now: datetime
    officers: list[CryptoSigner]
    identity: CryptoSigner
    online: CryptoSigner
    freshness: CryptoSigner
    ca_key: ec.EllipticCurvePrivateKey
    ca_certificate: bytes
    agencies: dict[str, Agency] = field(default_factory=dict)
    entries: dict[str, IdentityEntry] = field(default_factory=dict)
    endpoints: dict[str, SealedEntry] = field(default_factory=dict)
    lists: dict[str, SealedEntry] = field(default_factory=dict)
    revocations: list[RevocationEntry] = field(default_factory=list)
    former: list[bytes] = field(default_factory=list)
    former_crls: list[bytes] = field(default_factory=list)
    retired: list[RetiredAuthority] = field(default_factory=list)
    outside: list[bytes] = field(default_factory=list)
    outside_crls: list[bytes] = field(default_factory=list)
    log: layout.LogInfo | None = None
    revoked_serials: list[certificates.RevokedCertificate] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    _signed: dict[str, tuple[Targets, bytes]] = field(default_factory=dict)
    _crls: dict[int, bytes] = field(default_factory=dict)
    _memory: Memory | None = None
    _remembered: DirectoryMark | None = None

    @classmethod
    def create(cls, now: datetime, network: str = "vn-test") -> "Nation":
        """Makes all keys, the first root and the registry's own entry."""
        now = now.astimezone(UTC)
        ca_key = certificates.new_private_key()
        ca_certificate = certificates.new_ca(
            ca_key,
            name=f"Issuing CA of {network}",
            not_before=now - timedelta(days=1),
            not_after=now + 5 * LIFE,
        )
        nation = cls(
            network=network,
            now=now,
            officers=[CryptoSigner.generate_ed25519() for _ in range(3)],
            identity=CryptoSigner.generate_ed25519(),
            online=CryptoSigner.generate_ed25519(),
            freshness=CryptoSigner.generate_ed25519(),
            ca_key=ca_key,
            ca_certificate=ca_certificate,
        )
        nation.new_root()
        nation.add_agency(REGISTRY, "Registry of the network")
        return nation

    @property
    def anchor(self) -> str:
        """SHA-256 of the first root file."""
        return sha256(self.roots[1]).hexdigest()

    def new_root(self, *, old_officers: Iterable[CryptoSigner] = ()) -> bytes:
        """Signs the next root with the keys in hand, and with those of officers who leave."""
        holders = {
            layout.TARGETS: self.identity,
            layout.SNAPSHOT: self.freshness,
            layout.TIMESTAMP: self.freshness,
        }
        roles = {name: Role([key.public_key.keyid], 1) for name, key in holders.items()}
        roles[layout.ROOT] = Role([key.public_key.keyid for key in self.officers], 2)
        keys = {key.public_key.keyid: key.public_key for key in (*self.officers, *holders.values())}
        version = max(self.roots, default=0) + 1
        root = Root(version, None, _seconds(self.now) + layout.ROOT_LIFE, keys, roles)
        data = _sign(root, *self.officers[:2], *old_officers)
        self.roots[version] = data
        return data

    def add_agency(
        self,
        code: str,
        name: str,
        *,
        owns: Iterable[str] = (),
        aliases: Iterable[str] = (),
        address: str | None = None,
        suite: int = 1,
    ) -> Agency:
        """Enrols an agency with seal, TLS certificate and endpoint statement.

        Args:
            code: New; its own.
            name: Official name.
            owns: Codes it owns besides its own.
            aliases: Other spellings of its code.
            address: host:port of its node; default is an address where nobody listens.
            suite: Of its seal, 1 or 2.
        """
        seal_key, tls_key = certificates.new_private_key(), certificates.new_private_key()
        lattice_key = certificates.new_lattice_key() if suite == 2 else None
        second = certificates.second_request(lattice_key, code) if lattice_key else b""
        request = SealRequest(certificates.seal_request(seal_key, code), second)
        certificate = self.enrol(code, name, request, owns=owns, aliases=aliases)
        agency = Agency(
            code=code,
            name=name,
            network=self.network,
            seal_key=seal_key,
            lattice_key=lattice_key,
            seal_certificate=certificate,
            authority=self.ca_certificate,
            tls_key=tls_key,
            tls_certificate=tls_certificate(tls_key, code, now=self.now),
            server_name=server_name(code),
            epoch=new_uuid7(self.now),
        )
        self.agencies[code] = agency
        self.set_address(code, address or "127.0.0.1:9")
        return agency

    def enrol(
        self,
        code: str,
        name: str,
        request: bytes | SealRequest,
        *,
        owns: Iterable[str] = (),
        aliases: Iterable[str] = (),
    ) -> bytes:
        """Lists an agency whose keys may be elsewhere.

        Args:
            request: PKCS#10, DER, or two of them.

        Returns:
            Its seal certificate, DER.
        """
        certificate = self.issue_seal(request, code, name)
        self.entries[code] = IdentityEntry(
            code=code,
            name=name,
            aliases=tuple(aliases),
            owns=tuple(OwnedCode(code=item, name=f"{name}: {item}") for item in owns),
            state=AgencyState.ACTIVE,
            valid_from=time_text(self.now - timedelta(hours=1)),
            seals=(SealListing(certificate=to_base64(certificate)),),
        )
        return certificate

    def remove(self, code: str) -> None:
        """Forgets an agency, as no registry would."""
        del self.agencies[code], self.entries[code], self.endpoints[code]

    def set_address(self, code: str, *addresses: str) -> None:
        """Has the agency seal a new endpoint statement, with its current TLS certificate."""
        self.put_endpoint(code, self.agencies[code].endpoint(*addresses, time=self.now))

    def put_endpoint(self, code: str, sealed: SealedStatement) -> None:
        """Takes a sealed endpoint statement into the directory, unchecked."""
        self.endpoints[code] = to_entry(sealed)

    def delegate(self, code: str, *spaces: str) -> None:
        """Gives an agency spaces in which it lists codes itself."""
        self.entries[code] = replace(self.entries[code], spaces=spaces)

    def put_list(self, code: str, sealed: SealedStatement) -> None:
        """Takes a sealed list of sub-agencies into the directory, unchecked."""
        self.lists[code] = to_entry(sealed)

    def issue_seal(self, request: bytes | SealRequest, code: str, name: str) -> bytes:
        """Issues a seal certificate (DER) for a request, valid for a year."""
        asked = request if isinstance(request, SealRequest) else SealRequest(request)
        return certificates.issue_seal(
            self.ca_key,
            self.ca_certificate,
            asked,
            agency_code=code,
            organisation=name,
            not_before=self.now - timedelta(hours=1),
            not_after=self.now + LIFE,
            crl_url="http://registry.edoc.test/crl",
        )

    def forget_lists(self) -> None:
        """Begins the revocation lists anew, of another issuing CA."""
        self.revoked_serials.clear()
        self._crls.clear()

    def replace_seal(self, code: str, suite: int = 1) -> None:
        """Gives an agency a new seal key; the old certificate stays listed for old documents."""
        agency = self.agencies[code]
        agency.seal_key = certificates.new_private_key()
        agency.lattice_key = certificates.new_lattice_key() if suite == 2 else None
        agency.seal_certificate = self.issue_seal(agency.request, code, agency.name)
        agency.authority = self.ca_certificate
        listing = SealListing(certificate=to_base64(agency.seal_certificate))
        entry = self.entries[code]
        self.entries[code] = replace(entry, seals=(*entry.seals, listing))

    def set_minimum_suite(self, code: str, suite: int, since: datetime | None = None) -> None:
        """Sets the weakest suite that is accepted from an agency, now if nothing else is said."""
        since_text = time_text(since or self.now)
        self.entries[code] = replace(
            self.entries[code], minimum_suite=suite, minimum_since=since_text
        )

    def set_state(self, code: str, state: AgencyState, *, successors: Iterable[str] = ()) -> None:
        """Moves an agency in its life; MERGED and CLOSED end it now."""
        ended = state in (AgencyState.MERGED, AgencyState.CLOSED)
        self.entries[code] = replace(
            self.entries[code],
            state=state,
            valid_to=time_text(self.now) if ended else UNSET,
            successors=tuple(successors),
        )

    def end(self, code: str, at: datetime, *, successors: Iterable[str] = ()) -> None:
        """Decides the end of an agency: merged, split or closed at a moment."""
        names = tuple(successors)
        self.set_state(code, AgencyState.MERGED if names else AgencyState.CLOSED, successors=names)
        self.entries[code] = replace(self.entries[code], valid_to=time_text(at))
        for name in names:
            entry = self.entries[name]
            self.entries[name] = replace(entry, predecessors=(*entry.predecessors, code))

    def suspend(self, code: str) -> None:
        """Suspends an agency."""
        self.set_state(code, AgencyState.SUSPENDED)

    def revoke(
        self,
        code: str,
        *kinds: RevocationKind,
        compromised_since: datetime | None = None,
        in_crl: bool = False,
    ) -> None:
        """Revokes the current certificates of an agency.

        Args:
            code: Whose.
            kinds: Which; both when none is given.
            compromised_since: When the key was lost.
            in_crl: List the seal in the CRL and not in the registry's list.
        """
        agency = self.agencies[code]
        if in_crl:
            serial = x509.load_der_x509_certificate(agency.seal_certificate).serial_number
            self.revoked_serials.append(certificates.RevokedCertificate(serial, self.now))
            return
        digests = {
            RevocationKind.TLS: agency.tls_sha256,
            RevocationKind.SEAL: agency.digests[0],
        }
        for kind in kinds or tuple(digests):
            self.revocations.append(
                RevocationEntry(
                    kind=kind,
                    sha256=digests[kind],
                    agency=code,
                    reason="lost in a test",
                    revoked_at=time_text(self.now),
                    compromised_since=(
                        time_text(compromised_since) if compromised_since else UNSET
                    ),
                )
            )

    def publish(self) -> dict[str, bytes]:
        """Signs what changed, and snapshot and timestamp; returns all files by name."""
        changed = [self._sign_role(role, wanted) for role, wanted in self._wanted().items()]
        if any(changed) or layout.SNAPSHOT not in self.versions:
            self.sign_snapshot()
        self.sign_timestamp()
        return dict(self.files)

    def directory(self, floor: Floor = NO_FLOOR) -> Directory:
        """Publishes and loads; bins that did not change since are not checked once more."""
        loaded = load(self.publish(), self.anchor, floor, self._memory)
        if floor == NO_FLOOR and loaded.mark != self._remembered:
            self._memory = Memory(memory.encode(loaded, "tests"), "tests")
            self._remembered = loaded.mark
        return loaded

    def resign(self) -> dict[str, bytes]:
        """Signs every role anew, as when a third of their life is over."""
        self._signed.clear()
        return self.publish()

    def extend(
        self,
        life: timedelta,
        *,
        officers: int = 2,
        network: str = "",
        mark: DirectoryMark | None = None,
    ) -> bytes:
        """Lets officers of the root extend the directory that was published last, as a file."""
        snapshot = self.files[layout.file_name(layout.SNAPSHOT, self.versions[layout.SNAPSHOT])]
        held = DirectoryMark(
            version=self.versions[layout.SNAPSHOT], hash=sha256(snapshot).hexdigest()
        )
        statement = canonical.encode(
            ExtensionStatement(
                network=network or self.network,
                directory=mark or held,
                created=time_text(self.now),
                until=time_text(self.now + life),
                reason="Cháy trung tâm dữ liệu",
            )
        )
        signed = [officer.sign(statement) for officer in self.officers[:officers]]
        return encode_extension(statement, {item.keyid: item for item in signed})

    def sign_snapshot(self) -> None:
        """Signs a snapshot over the roles as they are."""
        meta = {
            f"{role}.json": MetaFile.from_data(self.versions[role], data, ["sha256"])
            for role, (_, data) in self._signed.items()
        }
        version = self._next(layout.SNAPSHOT)
        snapshot = Snapshot(version, None, _seconds(self.now) + layout.ROLE_LIFE, meta)
        self._put(layout.SNAPSHOT, _sign(snapshot, self.freshness))

    def sign_timestamp(self) -> None:
        """Signs a timestamp over the snapshot as it is."""
        version = self.versions[layout.SNAPSHOT]
        data = self.files[layout.file_name(layout.SNAPSHOT, version)]
        stamp = Timestamp(
            self._next(layout.TIMESTAMP),
            None,
            _seconds(self.now) + layout.TIMESTAMP_LIFE,
            MetaFile.from_data(version, data, ["sha256"]),
        )
        self._put(layout.TIMESTAMP, _sign(stamp, self.freshness))
        for number, root in self.roots.items():
            self.files[layout.file_name(layout.ROOT, number)] = root

    def _sign_role(self, role: str, wanted: Targets) -> bool:
        known = self._signed.get(role)
        if known is not None and _content(known[0]) == _content(wanted):
            return False
        wanted.version = self._next(role)
        wanted.expires = _seconds(self.now) + layout.ROLE_LIFE
        is_identity = role == layout.TARGETS or role.startswith(layout.IDENTITY)
        data = _sign(wanted, self.identity if is_identity else self.online)
        self._signed[role] = (wanted, data)
        self._put(role, data)
        return True

    def _put(self, role: str, data: bytes) -> None:
        stale = [
            name for name in self.files if name.endswith(f".{role}.json") and role != layout.ROOT
        ]
        for name in stale:
            del self.files[name]
        self.files[layout.file_name(role, self.versions[role])] = data

    def _next(self, role: str) -> int:
        self.versions[role] = layout.next_version(self.versions.get(role, 0), self.now)
        return self.versions[role]

    def _wanted(self) -> Mapping[str, Targets]:
        identity, online = [self.identity.public_key], [self.online.public_key]
        wanted = {role: Targets() for role in layout.role_names() if role != layout.SNAPSHOT}
        wanted[layout.TARGETS].delegations = layout.top_delegations(identity, online, threshold=1)
        for parent in layout.BINNED_ROLES:
            keys = identity if parent == layout.IDENTITY else online
            wanted[parent].delegations = layout.bin_delegations(parent, keys, threshold=1)
        for role, target in self._targets():
            wanted[role].targets[target.path] = target
        return wanted

    def _crl(self) -> bytes:
        number = len(self.revoked_serials) + 1
        if number not in self._crls:
            self._crls[number] = certificates.build_crl(
                self.ca_key,
                self.ca_certificate,
                self.revoked_serials,
                number=number,
                this_update=self.now,
            )
        return self._crls[number]

    def _targets(self) -> Iterable[tuple[str, TargetFile]]:
        info = NetworkInfo(
            network=self.network,
            registry=REGISTRY,
            issuing_authorities=tuple(map(to_base64, (self.ca_certificate, *self.former))),
            retired_authorities=tuple(self.retired),
            outside_authorities=tuple(map(to_base64, self.outside)),
            log=self.log or UNSET,
        )
        yield layout.TARGETS, layout.make_target(layout.NETWORK_PATH, info)
        listed = RevocationList(
            entries=tuple(self.revocations),
            crls=tuple(map(to_base64, (self._crl(), *self.former_crls, *self.outside_crls))),
        )
        yield layout.REVOCATIONS, layout.make_target(layout.REVOCATIONS_PATH, listed)
        for code, entry in self.entries.items():
            path = layout.identity_path(code)
            yield layout.bin_of(layout.IDENTITY, code), layout.make_target(path, entry)
        for code, endpoint in self.endpoints.items():
            path = layout.endpoint_path(code)
            yield layout.bin_of(layout.ENDPOINTS, code), layout.make_target(path, endpoint)
        for code, listed in self.lists.items():
            path = layout.subagencies_path(code)
            yield layout.bin_of(layout.SUBAGENCIES, code), layout.make_target(path, listed)


def _sign(signed: Signed, *signers: CryptoSigner) -> bytes:
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _content(targets: Targets) -> tuple[object, object]:
    return targets.targets, targets.delegations


def _seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
