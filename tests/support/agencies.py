"""An agency for tests, with its private keys: seals statements, makes endpoint statements.

``tests.support.nation`` enrols it and lists it in a signed directory.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from msgspec import UNSET, UnsetType

from edoccore.directory.layout import (
    to_base64,
)
from edoccore.identity.encryption import PublicEncryptionKey
from edoccore.identity.keys import PairSigner, Signer, SoftwareSigner
from edoccore.identity.request import SealRequest
from edoccore.signing import canonical
from edoccore.signing.merkle import EMPTY_ROOT
from edoccore.signing.seal import SALT_BYTES, SealedStatement, SealPlace, SignedSeal, draft
from edoccore.signing.statements import (
    MAX_LIST_BYTES,
    DirectoryMark,
    EncryptionKey,
    Endpoint,
    SubAgencies,
    SubAgency,
    time_text,
    uuid_text,
)
from edockit import certificates

LIFE = timedelta(days=365)
NO_MARK = DirectoryMark(version=0, hash="0" * 64)


def new_uuid7(moment: datetime) -> str:
    """A UUIDv7 of a moment, canonical text."""
    number = int.from_bytes(secrets.token_bytes(16), "big")
    number &= ~(0xFFFFFFFFFFFF << 80 | 0xF << 76 | 0x3 << 62)
    number |= int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62
    return uuid_text(number.to_bytes(16, "big"))


@dataclass(slots=True, kw_only=True, eq=False)
class Agency:
    """One agency with its private keys.

    Attributes:
        seal_certificate: DER; ``signer`` seals with its key.
        digests: What goes into ``Seal.certificates``: certificate and issuing authority.
        tls_certificate: DER of the current TLS certificate, ``tls_key`` is its key.
        server_name: DNS name in the TLS certificate.
        lattice_key: The second key of a seal of suite 2.
        encryption: What parts for it are encrypted to.
    """

    code: str
    name: str
    network: str
    seal_key: ec.EllipticCurvePrivateKey
    seal_certificate: bytes
    authority: bytes
    tls_key: ec.EllipticCurvePrivateKey
    tls_certificate: bytes
    server_name: str
    epoch: str
    lattice_key: MLDSA65PrivateKey | None = None
    encryption: PublicEncryptionKey | None = None
    index: int = 0
    counter: int = 0

    @property
    def signer(self) -> Signer:
        """Seals with the current key, or the pair."""
        certificate = x509.load_der_x509_certificate(self.seal_certificate)
        first = SoftwareSigner(self.seal_key, certificate)
        if self.lattice_key is None:
            return first
        return PairSigner(first, self.lattice_key, certificate)

    @property
    def request(self) -> SealRequest:
        """What asks for the certificate of the current key, or of the pair."""
        second = (
            certificates.second_request(self.lattice_key, self.code) if self.lattice_key else b""
        )
        return SealRequest(certificates.seal_request(self.seal_key, self.code), second)

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the seal certificate and of its authority."""
        return tuple(sha256(item).hexdigest() for item in (self.seal_certificate, self.authority))

    @property
    def tls_sha256(self) -> str:
        """SHA-256 of the TLS certificate."""
        return sha256(self.tls_certificate).hexdigest()

    @property
    def tls_key_pem(self) -> bytes:
        """The TLS key, PEM."""
        return certificates.key_pem(self.tls_key)

    @property
    def tls_certificate_pem(self) -> bytes:
        """The TLS certificate, PEM."""
        return certificates.certificate_pem(self.tls_certificate)

    def place(self, *, directory: DirectoryMark = NO_MARK) -> SealPlace:
        """Where the next seal of this agency stands; the journal root is not a real one."""
        return SealPlace(
            network=self.network,
            signer=self.code,
            certificates=self.digests,
            suite=self.signer.suite,
            directory=directory,
            epoch=self.epoch,
            index=self.index,
            journal_root=EMPTY_ROOT,
        )

    def seal(
        self, *statements: bytes, time: datetime, directory: DirectoryMark = NO_MARK
    ) -> list[SealedStatement]:
        """Seals statements together, with one signature."""
        made = draft(self.place(directory=directory), statements, [], time=time)
        self.index += 1
        signed = SignedSeal(made.data, self.signer.sign(made.data))
        return [
            SealedStatement(statement, leaf, tuple(proof), signed)
            for leaf, (statement, proof) in enumerate(
                zip(statements, made.statement_proofs, strict=True)
            )
        ]

    def seal_effects(self, *effects: bytes, time: datetime) -> list[SealedStatement]:
        """Seals effects, each with its salt in front, which the statements here lack."""
        made = draft(self.place(directory=NO_MARK), [], effects, time=time)
        self.index += 1
        signed = SignedSeal(made.data, self.signer.sign(made.data))
        return [
            SealedStatement(effect[SALT_BYTES:], leaf, tuple(proof), signed)
            for leaf, (effect, proof) in enumerate(zip(effects, made.effect_proofs, strict=True))
        ]

    def endpoint(
        self,
        *addresses: str,
        time: datetime,
        tls_certificates: Sequence[bytes] = (),
        counter: int | None = None,
    ) -> SealedStatement:
        """Makes and seals an endpoint statement; by default with the current TLS certificate."""
        self.counter = max(self.counter + 1, int(time.timestamp() * 1000))
        statement = Endpoint(
            network=self.network,
            agency=self.code,
            addresses=addresses,
            server_name=self.server_name,
            certificates=tuple(map(to_base64, tls_certificates or (self.tls_certificate,))),
            abilities=("edoc.envelope/v1",),
            counter=self.counter if counter is None else counter,
            created=time_text(time),
            encryption=_stated(self.encryption),
        )
        return self.seal(canonical.encode(statement), time=time)[0]

    def subagencies(
        self,
        *entries: SubAgency | str,
        time: datetime,
        counter: int | None = None,
        agency: str | None = None,
    ) -> SealedStatement:
        """Makes and seals the list of its sub-agencies; a code alone is an open one.

        Args:
            agency: Whose list it claims to be, when not its own.
        """
        self.counter = max(self.counter + 1, int(time.timestamp() * 1000))
        found = [
            SubAgency(code=item, name=f"{self.name}: {item}") if isinstance(item, str) else item
            for item in entries
        ]
        statement = SubAgencies(
            network=self.network,
            agency=agency or self.code,
            counter=self.counter if counter is None else counter,
            created=time_text(time),
            entries=tuple(sorted(found, key=lambda item: item.code)),
        )
        return self.seal(canonical.encode(statement, limit=MAX_LIST_BYTES), time=time)[0]

    def renew_tls(self, now: datetime) -> bytes:
        """Takes a new TLS key and certificate; returns the old certificate."""
        old = self.tls_certificate
        self.tls_key = certificates.new_private_key()
        self.tls_certificate = tls_certificate(self.tls_key, self.code, now=now)
        return old


def server_name(code: str) -> str:
    """The DNS name that stands for an agency in TLS."""
    return f"{code.lower().replace('.', '-')}.edoc.test"


def tls_certificate(key: ec.EllipticCurvePrivateKey, code: str, *, now: datetime) -> bytes:
    """A TLS certificate of an agency, valid from an hour ago for a year."""
    return certificates.self_signed_tls(
        key,
        common_name=code,
        dns_name=server_name(code),
        not_before=now - timedelta(hours=1),
        not_after=now + LIFE,
    )


def _stated(key: PublicEncryptionKey | None) -> EncryptionKey | UnsetType:
    return UNSET if key is None else EncryptionKey(suite=1, key=to_base64(key.data))
