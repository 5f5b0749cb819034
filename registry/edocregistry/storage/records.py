"""The records of the registry in SQL: ``domain.ports.Records`` over one open transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, Table, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlmodel import SQLModel

from edoccore.directory.layout import AgencyState, RevocationKind
from edoccore.identity.certificate import certificate_digest
from edocregistry.domain.model import (
    Agency,
    AuditEntry,
    Endpoint,
    FormerAuthority,
    Invite,
    OutsideAuthority,
    Revocation,
    RevocationCrl,
    SealCertificate,
    SubAgencyList,
    SuiteMinimum,
    Word,
)
from edocregistry.storage import tables
from edocregistry.storage.witnesses import SqlWitnesses

HASH_BYTES = 32  # of each step of an inclusion proof

_Said = TypeVar("_Said", bound=Word)


def _table(row: type[SQLModel]) -> Table:
    table: Table = row.__table__  # type: ignore[attr-defined]  # set by table=True
    return table


AGENCY = _table(tables.AgencyRow)
AGENCY_CODE = _table(tables.AgencyCodeRow)
SEAL_CERTIFICATE = _table(tables.SealCertificateRow)
SUITE_MINIMUM = _table(tables.SuiteMinimumRow)
REVOCATION = _table(tables.RevocationRow)
INVITE = _table(tables.InviteRow)
ENDPOINT = _table(tables.EndpointRow)
SUBAGENCY_LIST = _table(tables.SubAgencyListRow)
SPACE = _table(tables.SpaceRow)
OUTSIDE = _table(tables.OutsideAuthorityRow)
CRL = _table(tables.CrlRow)
FORMER_AUTHORITY = _table(tables.FormerAuthorityRow)
PUBLISHED_DRAFT = _table(tables.PublishedDraftRow)
AUDIT = _table(tables.AuditRow)


class SqlRecords(SqlWitnesses):
    """Everything the registry remembers, within the transaction of one connection."""

    # --- Agencies -----------------------------------------------------------------------------

    def agency(self, code: str) -> Agency | None:
        """Finds an agency by its code, not by an alias."""
        row = self._first(select(AGENCY).where(AGENCY.c.code == code))
        return _agency(row, self._aliases(code).get(code, ())) if row else None

    def agencies(self) -> Sequence[Agency]:
        """All agencies ever added, by code."""
        aliases = self._aliases()
        rows = self._all(select(AGENCY).order_by(AGENCY.c.code))
        return [_agency(row, aliases.get(row["code"], ())) for row in rows]

    def owner_of_code(self, code: str) -> str | None:
        """Code of the agency that has this code or alias, whatever its state."""
        row = self._first(select(AGENCY_CODE).where(AGENCY_CODE.c.code == code))
        return row["agency"] if row else None

    def save_agency(self, agency: Agency) -> None:
        """Adds an agency or replaces its row."""
        values = {
            "code": agency.code,
            "name": agency.name,
            "owner": agency.owner,
            "state": agency.state.value,
            "valid_from": agency.valid_from,
            "valid_to": agency.valid_to,
            "successors": " ".join(agency.successors),
        }
        self._replace(AGENCY, values)
        for place, code in enumerate((agency.code, *agency.aliases)):
            self._replace(AGENCY_CODE, {"code": code, "agency": agency.code, "place": place})

    def _aliases(self, agency: str | None = None) -> dict[str, tuple[str, ...]]:
        query = select(AGENCY_CODE).where(AGENCY_CODE.c.place > 0)
        if agency is not None:
            query = query.where(AGENCY_CODE.c.agency == agency)
        found: dict[str, tuple[str, ...]] = {}
        for row in self._all(query.order_by(AGENCY_CODE.c.agency, AGENCY_CODE.c.place)):
            found[row["agency"]] = (*found.get(row["agency"], ()), row["code"])
        return found

    # --- Certificates and their end -----------------------------------------------------------

    def seal_certificates(self, agency: str | None = None) -> Sequence[SealCertificate]:
        """Certificates ever issued, of one agency or all, oldest first."""
        query = select(SEAL_CERTIFICATE).order_by(SEAL_CERTIFICATE.c.number)
        if agency is not None:
            query = query.where(SEAL_CERTIFICATE.c.agency == agency)
        return [_seal_certificate(row) for row in self._all(query)]

    def seal_certificate(self, sha256: str) -> SealCertificate | None:
        """Finds one certificate by its hash."""
        query = select(SEAL_CERTIFICATE).where(SEAL_CERTIFICATE.c.sha256 == sha256)
        row = self._first(query)
        return _seal_certificate(row) if row else None

    def add_seal_certificate(self, certificate: SealCertificate) -> None:
        """Keeps a new certificate."""
        values = {
            "sha256": certificate.sha256,
            "agency": certificate.agency,
            "key_sha256": certificate.key_sha256,
            "certificate": certificate.certificate,
            "issued_at": certificate.issued_at,
        }
        self._connection.execute(insert(SEAL_CERTIFICATE).values(values))

    def suite_minimums(self, agency: str | None = None) -> Mapping[str, SuiteMinimum]:
        """Weakest suites that officers have set, of one agency or all; for the others it is 1."""
        query = select(SUITE_MINIMUM)
        if agency is not None:
            query = query.where(SUITE_MINIMUM.c.agency == agency)
        return {row["agency"]: SuiteMinimum(row["suite"], row["since"]) for row in self._all(query)}

    def put_suite_minimum(self, agency: str, minimum: SuiteMinimum) -> None:
        """Sets that of an agency."""
        values = {"agency": agency, "suite": minimum.suite, "since": minimum.since}
        self._replace(SUITE_MINIMUM, values)

    def revocations(self, agency: str | None = None) -> Sequence[Revocation]:
        """Revocations ever made, of one agency or all, oldest first."""
        query = select(REVOCATION).order_by(REVOCATION.c.number)
        if agency is not None:
            query = query.where(REVOCATION.c.agency == agency)
        return [_revocation(row) for row in self._all(query)]

    def add_revocation(self, revocation: Revocation) -> None:
        """Keeps a revocation; of one that is known only the time of the compromise changes."""
        values = {
            "sha256": revocation.sha256,
            "kind": revocation.kind.value,
            "agency": revocation.agency,
            "serial": None if revocation.serial is None else str(revocation.serial),
            "reason": revocation.reason,
            "revoked_at": revocation.revoked_at,
            "compromised_since": revocation.compromised_since,
        }
        since = {"compromised_since": revocation.compromised_since}
        change = upsert(REVOCATION).values(values)
        self._connection.execute(
            change.on_conflict_do_update(index_elements=["sha256"], set_=since)
        )

    def outside_authorities(self) -> list[OutsideAuthority]:
        """CAs outside the network, in the order in which they were added."""
        rows = self._all(select(OUTSIDE).order_by(OUTSIDE.c.added_at, OUTSIDE.c.sha256))
        return [
            OutsideAuthority(
                sha256=row["sha256"],
                certificate=row["certificate"],
                crl=row["crl"],
                added_at=row["added_at"],
            )
            for row in rows
        ]

    def put_outside_authority(self, authority: OutsideAuthority) -> None:
        """Adds one, or replaces what is known of it."""
        values = {
            "sha256": authority.sha256,
            "certificate": authority.certificate,
            "crl": authority.crl,
            "added_at": authority.added_at,
        }
        self._replace(OUTSIDE, values)

    def crl(self, place: int) -> RevocationCrl | None:
        """The newest CRL of an issuing CA: the first, second ... that the registry had."""
        row = self._first(select(CRL).where(CRL.c.place == place))
        return (
            RevocationCrl(row["number"], row["der"], row["issued_at"], row["size"]) if row else None
        )

    def put_crl(self, place: int, crl: RevocationCrl) -> None:
        """Replaces the CRL of an issuing CA."""
        values = {
            "place": place,
            "number": crl.number,
            "der": crl.der,
            "issued_at": crl.issued_at,
            "size": crl.size,
        }
        self._replace(CRL, values)

    # --- Invites ------------------------------------------------------------------------------

    def invite(self, token_sha256: bytes) -> Invite | None:
        """Finds an invite by the hash of its token."""
        row = self._first(select(INVITE).where(INVITE.c.token_sha256 == token_sha256))
        return Invite(**row) if row else None

    def add_invite(self, invite: Invite) -> None:
        """Keeps a new invite."""
        values = {
            "token_sha256": invite.token_sha256,
            "agency": invite.agency,
            "created_at": invite.created_at,
            "expires_at": invite.expires_at,
            "withdrawn_at": invite.withdrawn_at,
            "certificate_sha256": invite.certificate_sha256,
        }
        self._connection.execute(insert(INVITE).values(values))

    def use_invite(self, token_sha256: bytes, certificate_sha256: str) -> None:
        """Binds an invite to the certificate it was used for."""
        query = update(INVITE).where(INVITE.c.token_sha256 == token_sha256)
        self._connection.execute(query.values(certificate_sha256=certificate_sha256))

    def withdraw_invites(self, agency: str, now: datetime) -> None:
        """Ends all invites of an agency that were not used."""
        query = update(INVITE).where(
            INVITE.c.agency == agency,
            INVITE.c.withdrawn_at.is_(None),
            INVITE.c.certificate_sha256.is_(None),
        )
        self._connection.execute(query.values(withdrawn_at=now))

    # --- What agencies say of themselves ------------------------------------------------------

    def endpoint(self, agency: str) -> Endpoint | None:
        """The newest endpoint statement of an agency."""
        row = self._first(select(ENDPOINT).where(ENDPOINT.c.agency == agency))
        return _word(row, Endpoint) if row else None

    def endpoints(self) -> Sequence[Endpoint]:
        """The newest endpoint statement of every agency that has one."""
        rows = self._all(select(ENDPOINT).order_by(ENDPOINT.c.agency))
        return [_word(row, Endpoint) for row in rows]

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Replaces the endpoint statement of an agency."""
        self._replace(ENDPOINT, _values(endpoint))

    def spaces(self) -> dict[str, tuple[str, ...]]:
        """The spaces in which agencies list codes themselves, by agency, in order."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self._all(select(SPACE).order_by(SPACE.c.agency, SPACE.c.space)):
            found[row["agency"]] = (*found.get(row["agency"], ()), row["space"])
        return found

    def set_spaces(self, agency: str, spaces: Sequence[str]) -> None:
        """Replaces the spaces of an agency."""
        self._connection.execute(delete(SPACE).where(SPACE.c.agency == agency))
        for space in spaces:
            self._connection.execute(insert(SPACE).values(space=space, agency=agency))

    def subagency_list(self, agency: str) -> SubAgencyList | None:
        """The newest list of an agency's sub-agencies."""
        row = self._first(select(SUBAGENCY_LIST).where(SUBAGENCY_LIST.c.agency == agency))
        return _word(row, SubAgencyList) if row else None

    def subagency_lists(self) -> Sequence[SubAgencyList]:
        """The newest list of every agency that has one."""
        rows = self._all(select(SUBAGENCY_LIST).order_by(SUBAGENCY_LIST.c.agency))
        return [_word(row, SubAgencyList) for row in rows]

    def put_subagency_list(self, listed: SubAgencyList) -> None:
        """Replaces the list of an agency."""
        self._replace(SUBAGENCY_LIST, _values(listed))

    def former_authorities(self) -> Sequence[FormerAuthority]:
        """Issuing CAs before the one in force."""
        rows = self._all(select(FORMER_AUTHORITY).order_by(FORMER_AUTHORITY.c.sha256))
        return [FormerAuthority(row["certificate"], row["crl"]) for row in rows]

    def add_former_authority(self, authority: FormerAuthority) -> None:
        """Keeps one; one that is already known stays as it was."""
        values = {
            "sha256": certificate_digest(authority.certificate),
            "certificate": authority.certificate,
            "crl": authority.crl,
        }
        self._connection.execute(upsert(FORMER_AUTHORITY).values(values).on_conflict_do_nothing())

    # --- Drafts of the officers ---------------------------------------------------------------

    def published_draft(self, digest: str) -> int | None:
        """Version of the directory that a draft became; None: it was not published."""
        row = self._first(select(PUBLISHED_DRAFT).where(PUBLISHED_DRAFT.c.digest == digest))
        return row["version"] if row else None

    def add_published_draft(self, digest: str, version: int) -> None:
        """Notes that a draft was published; one that is known stays as it was."""
        values = {"digest": digest, "version": version}
        self._connection.execute(upsert(PUBLISHED_DRAFT).values(values).on_conflict_do_nothing())

    # --- Audit --------------------------------------------------------------------------------

    def add_audit(self, entry: AuditEntry) -> None:
        """Keeps one row of the audit."""
        values = {
            "time": entry.time,
            "actor": entry.actor,
            "command": entry.command,
            "result": entry.result,
        }
        self._connection.execute(insert(AUDIT).values(values))

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """The newest rows of the audit, newest first."""
        rows = self._all(select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit))
        names = ("time", "actor", "command", "result")
        return [AuditEntry(*(row[name] for name in names)) for row in rows]

    def _first(self, query: Select[Any]) -> dict[str, Any] | None:
        row = self._connection.execute(query).mappings().first()
        return dict(row) if row is not None else None

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def _replace(self, table: Table, values: dict[str, Any]) -> None:
        keys = [column.name for column in table.primary_key]
        rest = {name: value for name, value in values.items() if name not in keys}
        query = upsert(table).values(values).on_conflict_do_update(index_elements=keys, set_=rest)
        self._connection.execute(query)


def _agency(row: dict[str, Any], aliases: tuple[str, ...]) -> Agency:
    return Agency(
        code=row["code"],
        name=row["name"],
        aliases=aliases,
        owner=row["owner"],
        state=AgencyState(row["state"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        successors=tuple(row["successors"].split()),
    )


def _seal_certificate(row: dict[str, Any]) -> SealCertificate:
    del row["number"]
    return SealCertificate(**row)


def _revocation(row: dict[str, Any]) -> Revocation:
    return Revocation(
        kind=RevocationKind(row["kind"]),
        sha256=row["sha256"],
        agency=row["agency"],
        serial=None if row["serial"] is None else int(row["serial"]),
        reason=row["reason"],
        revoked_at=row["revoked_at"],
        compromised_since=row["compromised_since"],
    )


def _word(row: dict[str, Any], kind: type[_Said]) -> _Said:
    proof = row.pop("proof")
    steps = (proof[start : start + HASH_BYTES] for start in range(0, len(proof), HASH_BYTES))
    return kind(proof=tuple(steps), **row)


def _values(word: Word) -> dict[str, Any]:
    return {
        "agency": word.agency,
        "counter": word.counter,
        "statement": word.statement,
        "leaf": word.leaf,
        "proof": b"".join(word.proof),
        "seal": word.seal,
        "signature": word.signature,
        "published_at": word.published_at,
    }
