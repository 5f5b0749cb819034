"""What the registry keeps, as values: agencies, certificates, invites, endpoints, revocations.

Times are aware and in UTC. Nothing here decides anything, and nothing is ever deleted: an agency,
a certificate or an invite ends by a time or a state, because old documents are checked for ever.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from edoccore.directory.layout import WIND_UP, AgencyState, RevocationKind
from edoccore.identity import agency
from edoccore.signing.seal import SealedStatement, SignedSeal

REGISTRY_CODE = str(agency.REGISTRY_CODE)  # the registry's own entry; plain text, to encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """One agency, or a sub-agency that another agency's node serves.

    Attributes:
        code: As in the directory; never used for another agency.
        aliases: Other codes of the same agency; never used for another one either.
        owner: Code of the agency whose node and seal serve this one; None: it has its own.
        valid_to: When it ends, as was decided; may lie ahead. None: nothing was.
        successors: Codes of the agencies that take its documents from then on.
    """

    code: str
    name: str
    aliases: tuple[str, ...]
    owner: str | None
    state: AgencyState
    valid_from: datetime
    valid_to: datetime | None
    successors: tuple[str, ...] = ()

    def has_ended(self, now: datetime) -> bool:
        """Whether its end has come."""
        return self.valid_to is not None and self.valid_to <= now

    def is_active(self, now: datetime) -> bool:
        """Whether documents go to and from it."""
        return self.state is not AgencyState.SUSPENDED and not self.has_ended(now)

    def answers(self, now: datetime) -> bool:
        """Whether its node is heard: while it is active, and while it winds up."""
        until = None if self.valid_to is None else self.valid_to + WIND_UP
        return self.state is not AgencyState.SUSPENDED and (until is None or now < until)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealCertificate:
    """One certificate that the issuing CA made for the seal key of an agency.

    Attributes:
        sha256: Of the certificate, lower hex; names it everywhere.
        key_sha256: Of the public key (SubjectPublicKeyInfo, DER).
        certificate: DER.
    """

    sha256: str
    agency: str
    key_sha256: bytes
    certificate: bytes
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The end of one certificate.

    Attributes:
        sha256: Of the certificate, lower hex.
        serial: Serial number of a certificate of the issuing CA, for the CRL; None for TLS.
        compromised_since: Seals without a proven time before it are worth nothing.
    """

    kind: RevocationKind
    sha256: str
    agency: str
    serial: int | None
    reason: str
    revoked_at: datetime
    compromised_since: datetime | None


@dataclass(frozen=True, slots=True)
class SuiteMinimum:
    """Weakest suite that an agency's seals may use, and since when."""

    suite: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """The right to enrol one agency's node once.

    Attributes:
        token_sha256: Of the token, 32 bytes; the token itself is not kept.
        withdrawn_at: When a newer invite or the end of the agency made it worthless.
        certificate_sha256: Certificate it was used for; None while unused.
    """

    token_sha256: bytes
    agency: str
    created_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None
    certificate_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The newest statement of its kind of an agency with everything that proves it.

    Attributes:
        counter: As in the statement; the next one must be higher.
        proof: 32 bytes each, from the leaf upwards.
        published_at: When the registry accepted it.
    """

    agency: str
    counter: int
    statement: bytes
    leaf: int
    proof: tuple[bytes, ...]
    seal: bytes
    signature: bytes
    published_at: datetime

    @classmethod
    def of(cls, agency: str, counter: int, sealed: SealedStatement, now: datetime) -> Self:
        """Keeps a statement that is accepted now."""
        return cls(
            agency=agency,
            counter=counter,
            statement=sealed.statement,
            leaf=sealed.leaf,
            proof=tuple(sealed.proof),
            seal=sealed.seal.data,
            signature=sealed.seal.signature,
            published_at=now,
        )

    def sealed(self) -> SealedStatement:
        """The statement as it was sealed."""
        seal = SignedSeal(self.seal, self.signature)
        return SealedStatement(self.statement, self.leaf, self.proof, seal)


class Endpoint(Word):
    """Where an agency's node is reached."""


class SubAgencyList(Word):
    """The sub-agencies that an agency lists itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideAuthority:
    """A CA outside the network that may vouch for seals.

    Attributes:
        sha256: Of its certificate, lower hex.
        certificate: DER.
        crl: Its newest revocation list, DER; None: none was given.
    """

    sha256: str
    certificate: bytes
    crl: bytes | None
    added_at: datetime


@dataclass(frozen=True, slots=True)
class RevocationCrl:
    """The newest CRL of an issuing CA, DER, and how many revocations stand in it."""

    number: int
    der: bytes
    issued_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class FormerAuthority:
    """An issuing CA whose key is gone: its certificates are still good, it issues no other.

    Attributes:
        certificate: DER.
        crl: The last list of revocations it made, DER; empty when there was none.
    """

    certificate: bytes
    crl: bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One administrative act: when, who, what, how it ended (``done`` or the reason code)."""

    time: datetime
    actor: str
    command: str
    result: str
