"""What the domain needs from outside: the records of the registry, and the key that issues.

Every method of ``Records`` belongs to the transaction of its object; what was written counts when
that one is committed. Implemented in ``edocregistry.storage``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from edoccore.directory.layout import WitnessListing
from edoccore.identity.request import SealRequest
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
)


class Records(Protocol):
    """Everything the registry remembers."""

    def agency(self, code: str) -> Agency | None:
        """Finds an agency by its code, not by an alias."""

    def agencies(self) -> Sequence[Agency]:
        """All agencies ever added, by code."""

    def owner_of_code(self, code: str) -> str | None:
        """Code of the agency that has this code or alias, whatever its state."""

    def save_agency(self, agency: Agency) -> None:
        """Adds an agency or replaces its row."""

    def seal_certificates(self, agency: str | None = None) -> Sequence[SealCertificate]:
        """Certificates ever issued, of one agency or all, oldest first."""

    def seal_certificate(self, sha256: str) -> SealCertificate | None:
        """Finds one certificate by its hash."""

    def add_seal_certificate(self, certificate: SealCertificate) -> None:
        """Keeps a new certificate."""

    def suite_minimums(self, agency: str | None = None) -> Mapping[str, SuiteMinimum]:
        """Weakest suites that officers have set, of one agency or all; for the others it is 1."""

    def put_suite_minimum(self, agency: str, minimum: SuiteMinimum) -> None:
        """Sets that of an agency."""

    def revocations(self, agency: str | None = None) -> Sequence[Revocation]:
        """Revocations ever made, of one agency or all, oldest first."""

    def add_revocation(self, revocation: Revocation) -> None:
        """Keeps a revocation; of one that is known only the time of the compromise changes."""

    def invite(self, token_sha256: bytes) -> Invite | None:
        """Finds an invite by the hash of its token."""

    def add_invite(self, invite: Invite) -> None:
        """Keeps a new invite."""

    def use_invite(self, token_sha256: bytes, certificate_sha256: str) -> None:
        """Binds an invite to the certificate it was used for."""

    def withdraw_invites(self, agency: str, now: datetime) -> None:
        """Ends all invites of an agency that were not used."""

    def endpoint(self, agency: str) -> Endpoint | None:
        """The newest endpoint statement of an agency."""

    def endpoints(self) -> Sequence[Endpoint]:
        """The newest endpoint statement of every agency that has one."""

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Replaces the endpoint statement of an agency."""

    def spaces(self) -> Mapping[str, Sequence[str]]:
        """The spaces in which agencies list codes themselves, by agency, in order."""

    def set_spaces(self, agency: str, spaces: Sequence[str]) -> None:
        """Replaces the spaces of an agency."""

    def subagency_list(self, agency: str) -> SubAgencyList | None:
        """The newest list of an agency's sub-agencies."""

    def subagency_lists(self) -> Sequence[SubAgencyList]:
        """The newest list of every agency that has one."""

    def put_subagency_list(self, listed: SubAgencyList) -> None:
        """Replaces the list of an agency."""

    def outside_authorities(self) -> Sequence[OutsideAuthority]:
        """CAs outside the network, in the order in which they were added."""

    def put_outside_authority(self, authority: OutsideAuthority) -> None:
        """Adds one, or replaces what is known of it."""

    def crl(self, place: int) -> RevocationCrl | None:
        """The newest CRL of an issuing CA: the first, second ... that the registry had."""

    def put_crl(self, place: int, crl: RevocationCrl) -> None:
        """Replaces the CRL of an issuing CA."""

    def former_authorities(self) -> Sequence[FormerAuthority]:
        """Issuing CAs before the one in force."""

    def add_former_authority(self, authority: FormerAuthority) -> None:
        """Keeps one; one that is already known stays as it was."""

    def published_draft(self, digest: str) -> int | None:
        """Version of the directory that a draft became; None: it was not published."""

    def add_published_draft(self, digest: str, version: int) -> None:
        """Notes that a draft was published; one that is known stays as it was."""

    def witnesses(self) -> Sequence[WitnessListing]:
        """Who watches over the log, by code."""

    def put_witness(self, witness: WitnessListing) -> None:
        """Adds one, or replaces its key."""

    def remove_witness(self, agency: str) -> None:
        """Removes one; none is removed when it is not there."""

    def witness_threshold(self) -> int:
        """How many witnesses must cosign; 0: none."""

    def set_witness_threshold(self, threshold: int) -> None:
        """Replaces how many must cosign."""

    def add_audit(self, entry: AuditEntry) -> None:
        """Keeps one row of the audit."""

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """The newest rows of the audit, newest first."""


class IssuingAuthority(Protocol):
    """Holds the key of the CA that issues seal certificates."""

    @property
    def certificate(self) -> bytes:
        """Certificate of the CA, DER."""

    def issue(self, request: SealRequest, agency: Agency, now: datetime) -> bytes:
        """Issues the certificate of a seal key, DER.

        Args:
            request: For the key, or a pair; only the public keys are used.
            agency: Whose key it is.
            now: The certificate holds from here.

        Raises:
            KeyUnusableError: The request is not signed by its own key, or the key is too weak.
        """

    def make_crl(self, revoked: Sequence[Revocation], *, number: int, now: datetime) -> bytes:
        """Builds the CRL, DER.

        Args:
            revoked: All revoked certificates of this CA, each with a serial.
            number: Above that of every CRL before.
            now: Its beginning.
        """
