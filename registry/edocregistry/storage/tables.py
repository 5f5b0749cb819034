"""The tables of the registry; what their rows mean stands in ``edocregistry.domain.model``.

Only migrations make them. Nothing is ever deleted but witnesses, and a space that was never used:
codes, certificates and invites stay, so that none is used twice and old documents can be checked.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String
from sqlmodel import Field, SQLModel

from edockit.database import UTCDateTime


class RegistryTable(SQLModel):
    """What all tables of the registry share: their own collection."""

    metadata = MetaData()


class AgencyRow(RegistryTable, table=True):
    """One agency or sub-agency."""

    __tablename__ = "agency"

    code: str = Field(primary_key=True, max_length=35)
    name: str
    owner: str | None = Field(default=None, max_length=35)
    state: str = Field(max_length=16)
    valid_from: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    valid_to: datetime | None = Field(default=None, sa_column=Column(UTCDateTime))
    successors: str = Field(default="")  # codes, one space between them


class AgencyCodeRow(RegistryTable, table=True):
    """One code ever given out, as code or alias; the key is what forbids a second use."""

    __tablename__ = "agency_code"

    code: str = Field(primary_key=True, max_length=35)
    agency: str = Field(max_length=35, index=True)
    place: int  # 0: the code itself, from 1: aliases in their order


class SealCertificateRow(RegistryTable, table=True):
    """One certificate issued for a seal key."""

    __tablename__ = "seal_certificate"

    number: int | None = Field(default=None, primary_key=True)
    sha256: str = Field(unique=True, max_length=64)
    agency: str = Field(max_length=35, index=True)
    key_sha256: bytes = Field(sa_column=Column(LargeBinary(32), nullable=False))
    certificate: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    issued_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))


class SuiteMinimumRow(RegistryTable, table=True):
    """The weakest suite of one agency, if officers have set it."""

    __tablename__ = "suite_minimum"

    agency: str = Field(primary_key=True, max_length=35)
    suite: int
    since: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))


class RevocationRow(RegistryTable, table=True):
    """The end of one certificate."""

    __tablename__ = "revocation"

    number: int | None = Field(default=None, primary_key=True)
    sha256: str = Field(unique=True, max_length=64)
    kind: str = Field(max_length=8)
    agency: str = Field(max_length=35, index=True)
    serial: str | None = Field(default=None, max_length=49)  # decimal; up to 160 bits
    reason: str
    revoked_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    compromised_since: datetime | None = Field(default=None, sa_column=Column(UTCDateTime))


class InviteRow(RegistryTable, table=True):
    """The right to enrol once; the token itself is not here."""

    __tablename__ = "invite"

    token_sha256: bytes = Field(sa_column=Column(LargeBinary(32), primary_key=True))
    agency: str = Field(max_length=35, index=True)
    created_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    expires_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    withdrawn_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime))
    certificate_sha256: str | None = Field(default=None, max_length=64)


class SpaceRow(RegistryTable, table=True):
    """One space of codes; the key is what forbids to give it to two."""

    __tablename__ = "space"

    space: str = Field(primary_key=True, max_length=37)
    agency: str = Field(max_length=35, index=True)


class SubAgencyListRow(RegistryTable, table=True):
    """The newest list of the sub-agencies of one agency, as it sealed it."""

    __tablename__ = "subagency_list"

    agency: str = Field(primary_key=True, max_length=35)
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: int = Field(sa_column=Column(BigInteger, nullable=False))
    proof: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # 32 bytes each, joined
    seal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    published_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))


class EndpointRow(RegistryTable, table=True):
    """The newest endpoint statement of one agency."""

    __tablename__ = "endpoint"

    agency: str = Field(primary_key=True, max_length=35)
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: int = Field(sa_column=Column(BigInteger, nullable=False))
    proof: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # 32 bytes each, joined
    seal: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    published_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))


class OutsideAuthorityRow(RegistryTable, table=True):
    """A CA outside the network, and its newest revocation list."""

    __tablename__ = "outside_authority"

    sha256: str = Field(primary_key=True, max_length=64)
    certificate: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    crl: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    added_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))


class CrlRow(RegistryTable, table=True):
    """The newest CRL of each issuing CA."""

    __tablename__ = "crl"

    place: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    der: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    issued_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    size: int


class FormerAuthorityRow(RegistryTable, table=True):
    """One issuing CA whose key is gone."""

    __tablename__ = "former_authority"

    sha256: str = Field(primary_key=True, max_length=64)
    certificate: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    crl: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class PublishedDraftRow(RegistryTable, table=True):
    """One draft of the officers that was published."""

    __tablename__ = "published_draft"

    digest: str = Field(primary_key=True, max_length=64)
    version: int = Field(sa_column=Column(BigInteger, nullable=False))


class WitnessRow(RegistryTable, table=True):
    """One agency whose node watches over the log."""

    __tablename__ = "witness"

    agency: str = Field(primary_key=True, max_length=35)
    key: str


class LogPolicyRow(RegistryTable, table=True):
    """How many witnesses must cosign; one row."""

    __tablename__ = "log_policy"

    place: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    threshold: int


class AuditRow(RegistryTable, table=True):
    """One administrative act."""

    __tablename__ = "audit"

    number: int | None = Field(default=None, primary_key=True)
    time: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    actor: str = Field(sa_column=Column(String, nullable=False))
    command: str
    result: str = Field(max_length=64)
