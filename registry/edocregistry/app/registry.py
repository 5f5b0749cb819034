"""The registry at work on one data folder: each act takes its turn, is audited and is published.

An act is one transaction with its audit row; after it the directory is published in the same turn.
When the program ends between the two, the next turn of anybody publishes: the files in hand are
compared with the records, so nothing has to be remembered.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

import structlog
from cryptography import x509

from edoccore.directory import layout
from edoccore.directory.join import TOKEN_BYTES, JoinString, format_join
from edoccore.directory.layout import from_base64
from edoccore.directory.view import Directory
from edoccore.errors import EdocError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.request import SealRequest
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import DirectoryMark
from edocregistry.app.publishing import Publisher
from edocregistry.app.turns import SharedTurns
from edocregistry.domain import agencies, outside, own_entry, subagencies
from edocregistry.domain.differences import Change
from edocregistry.domain.endpoints import accept_endpoint
from edocregistry.domain.enrolment import (
    Enrolled,
    RefusalLimit,
    Renewed,
    enrol,
    make_invite,
    requested_keys,
)
from edocregistry.domain.model import (
    REGISTRY_CODE,
    Agency,
    AuditEntry,
    OutsideAuthority,
    Revocation,
    SealCertificate,
)
from edocregistry.domain.own_entry import OwnAddress
from edocregistry.domain.own_word import end_own_keys, renew_seal
from edocregistry.domain.ports import Records
from edocregistry.domain.publication import Publication
from edocregistry.domain.revoking import revoke_keys, tls_certificates
from edocregistry.settings import RegistrySettings
from edocregistry.storage.folder import DataFolder, Turn
from edocregistry.storage.keys import FileAuthority

_log = structlog.get_logger(__name__)

Result = TypeVar("Result")
DONE = "done"


@dataclass(frozen=True, slots=True)
class Ordered:
    """Revocations that an order made; empty when an earlier one had made them all."""

    revocations: Sequence[Revocation]
    version: int


class Registry:
    """Everything an officer or a node can ask of the registry."""

    def __init__(
        self, folder: DataFolder, settings: RegistrySettings, clock: Callable[[], datetime]
    ) -> None:
        """Opens a registry that was founded.

        Raises:
            DataFolderError, KeyUnusableError: The folder is not one that can be worked with.
        """
        self.folder = folder
        self.settings = settings
        self._clock = clock
        self.publisher = Publisher(folder, settings, clock)
        self._turns = SharedTurns(folder, self.publisher.publish, self.publisher.log.require_newest)
        self._refusals = RefusalLimit()

    # --- What officers order ------------------------------------------------------------------

    def add_agency(
        self, actor: str, code: str, name: str, *, aliases: tuple[str, ...], owner: str | None
    ) -> Agency:
        """Adds an agency; see ``domain.agencies.add_agency``."""
        return self.act(
            actor,
            f"agency add {code}",
            lambda records, now: agencies.add_agency(
                records, code, name, aliases=aliases, owner=owner, now=now
            ),
        )[0]

    def suspend_agency(self, actor: str, code: str) -> Agency:
        """Suspends an agency; see ``domain.agencies.suspend_agency``."""
        return self.act(
            actor,
            f"agency suspend {code}",
            lambda records, _: agencies.suspend_agency(records, code),
        )[0]

    def resume_agency(self, actor: str, code: str) -> Agency:
        """Ends a suspension; see ``domain.agencies.resume_agency``."""
        return self.act(
            actor,
            f"agency resume {code}",
            lambda records, _now: agencies.resume_agency(records, code),
        )[0]

    def close_agency(self, actor: str, code: str, at: datetime | None = None) -> Agency:
        """Ends an agency for good, now or later; see ``domain.agencies.close_agency``."""
        return self.act(
            actor,
            f"agency close {code}",
            lambda records, now: agencies.close_agency(records, code, at=at or now, now=now),
        )[0]

    def give_spaces(self, actor: str, code: str, spaces: Sequence[str]) -> Sequence[str]:
        """Lets an agency list codes itself; see ``domain.subagencies.give_spaces``."""
        return self.act(
            actor,
            f"agency delegate {code} {' '.join(spaces)}",
            lambda records, now: subagencies.give_spaces(records, code, spaces, now),
        )[0]

    def end_spaces(self, actor: str, code: str, spaces: Sequence[str]) -> Sequence[str]:
        """Takes spaces back; see ``domain.subagencies.end_spaces``."""
        return self.act(
            actor,
            f"agency delegate --end {code} {' '.join(spaces)}",
            lambda records, now: subagencies.end_spaces(records, code, spaces, now),
        )[0]

    def invite(self, actor: str, code: str, ttl: timedelta) -> str:
        """Makes a join string for an agency; the only place where its token is ever shown.

        Raises:
            RequestInvalidError, AgencyUnknownError, AgencyInactiveError: As ``make_invite``.
        """
        token = secrets.token_bytes(TOKEN_BYTES)
        self.act(
            actor,
            f"invite {code}",
            lambda records, now: make_invite(
                records, code, token_sha256=sha256(token).digest(), ttl=ttl, now=now
            ),
        )
        host, _, port = self.settings.advertise.rpartition(":")
        root = max(self.folder.directory.roots().items())[1]
        return format_join(
            JoinString(
                host=host.strip("[]"),
                port=int(port),
                root_sha256=sha256(root).hexdigest(),
                token=token,
            )
        )

    def revoke(
        self,
        actor: str,
        code: str,
        *,
        kinds: Sequence[layout.RevocationKind],
        compromised_since: datetime | None,
    ) -> Ordered:
        """Ends an agency's keys; see ``domain.revoking.revoke_keys``."""
        names = "".join(f" --{kind}" for kind in kinds)
        made, publication = self.act(
            actor,
            f"revoke {code}{names}",
            lambda records, now: revoke_keys(
                records, code, kinds, compromised_since=compromised_since, now=now
            ),
        )
        return Ordered(made, publication.version)

    def add_outside_authority(self, actor: str, certificate: bytes) -> OutsideAuthority:
        """Trusts a CA outside the network; see ``domain.outside.add_authority``."""
        return self.act(
            actor,
            "outside add",
            lambda records, now: outside.add_authority(records, certificate, now),
        )[0]

    def take_outside_list(self, actor: str, crl: bytes) -> OutsideAuthority:
        """Publishes a revocation list of such a CA; see ``domain.outside.take_list``."""
        return self.act(
            actor, "outside crl", lambda records, _now: outside.take_list(records, crl)
        )[0]

    def list_outside_seal(self, actor: str, code: str, certificate: bytes) -> SealCertificate:
        """Lists a certificate of such a CA; see ``domain.outside.list_seal``."""
        return self.act(
            actor,
            f"outside seal {code}",
            lambda records, now: outside.list_seal(records, code, certificate, now),
        )[0]

    def outside_authorities(self) -> list[OutsideAuthority]:
        """The CAs outside the network that are trusted."""
        with self.folder.turn() as turn:
            return turn.read(lambda records: records.outside_authorities())

    def order(
        self, actor: str, command: str, decide: Callable[[Records, datetime], Result]
    ) -> Result:
        """Carries out one decision of an officer, audits and publishes it."""
        return self.act(actor, command, decide)[0]

    def publish(self, actor: str) -> Publication:
        """Publishes what is due, by order; says what it did."""
        return self.act(actor, "publish", lambda _records, _now: None)[1]

    def publish_due(self) -> Publication:
        """Publishes what is due, by the timer; leaves no audit row."""
        return self._turns.run(lambda _turn: None)[1]

    # --- What nodes ask -----------------------------------------------------------------------

    def enrol(
        self, caller: str, *, token: bytes, request: SealRequest, agency_code: str
    ) -> Enrolled:
        """Issues the certificate that a token stands for; see ``domain.enrolment.enrol``.

        Args:
            caller: Network address, for the limit on refusals and the audit.
            token: As received.
            request: For the seal key, or a pair.
            agency_code: Agency the caller believes to be; may be empty.

        Raises:
            TokenRefusedError, RequestInvalidError: As ``enrol``.
            QuotaError: The caller was refused too often.
        """
        self._refusals.check(caller, self._clock())
        authority = self.authority()
        try:
            certificate, publication = self.act(
                f"node {caller}",
                "enrol",
                lambda records, now: enrol(
                    records,
                    authority,
                    token=token,
                    request=request,
                    agency_code=agency_code,
                    now=now,
                ),
            )
        except EdocError as error:
            self._refusals.note(caller, self._clock())
            _log.warning("enrolment_refused", caller=caller, reason=error.reason)
            raise
        _log.info("enrolled", agency=certificate.agency, certificate=certificate.sha256)
        chain = self.chain_of(certificate.certificate)
        return Enrolled(certificate, chain, publication.version)

    def publish_endpoint(self, caller: str, sealed: SealedStatement) -> int:
        """Publishes an endpoint statement; see ``domain.endpoints.accept_endpoint``.

        Returns:
            Version of the directory in which it stands.
        """
        endpoint, publication = self.act(
            f"node {caller}",
            "publish endpoint",
            lambda records, now: accept_endpoint(records, sealed, self.directory(), now),
        )
        _log.info("endpoint_published", agency=endpoint.agency, version=publication.version)
        return publication.version

    def publish_subagencies(self, caller: str, sealed: SealedStatement) -> int:
        """Publishes a list of sub-agencies; see ``domain.subagencies.accept_list``.

        Returns:
            Version of the directory in which it stands.
        """
        made, publication = self.act(
            f"node {caller}",
            "publish subagencies",
            lambda records, now: subagencies.accept_list(records, sealed, self.directory(), now),
        )
        _log.info("subagencies_published", agency=made.agency, version=publication.version)
        return publication.version

    def renew_seal(self, caller: str, sealed: SealedStatement) -> Renewed:
        """Issues the next seal certificate of an agency; see ``domain.own_word.renew_seal``."""
        authority = self.authority()
        certificate, publication = self.act(
            f"node {caller}",
            "renew seal",
            lambda records, now: renew_seal(records, authority, sealed, self.directory(), now),
        )
        _log.info("seal_renewed", agency=certificate.agency, certificate=certificate.sha256)
        chain = self.chain_of(certificate.certificate)
        enrolled = Enrolled(certificate, chain, publication.version)
        return Renewed(enrolled, waits=not self.publishes_alone())

    def end_own_keys(self, caller: str, sealed: SealedStatement) -> int:
        """Revokes keys on their agency's word; see ``domain.own_word.end_own_keys``.

        Returns:
            Version of the directory in which the revocations stand.
        """
        made, publication = self.act(
            f"node {caller}",
            "end keys",
            lambda records, now: end_own_keys(records, sealed, self.directory(), now),
        )
        for item in made:
            _log.warning("keys_ended", agency=item.agency, certificate=item.sha256)
        return publication.version

    # --- What it says and is ------------------------------------------------------------------

    def authority(self) -> FileAuthority:
        """The issuing CA."""
        return self.publisher.authority()

    def rotate_authority(self, actor: str) -> tuple[bytes, int]:
        """Puts a new issuing CA in the place of the one that issues; see ``ca rotate``.

        Returns:
            Certificate of the new one, DER, and the version of the directory that lists it.
        """
        made: list[bytes] = []

        def rotate(_records: Records, now: datetime) -> None:
            made.append(self.folder.keys.rotate_authority(self.settings.network, now))

        _, publication = self.act(actor, "ca rotate", rotate)
        return made[0], publication.version

    def chain_of(self, certificate: bytes) -> tuple[bytes, ...]:
        """Issuers of a seal certificate (DER), nearest first."""
        issuer = x509.load_der_x509_certificate(certificate).issuer
        here = [item.certificate for item in self.publisher.authorities()]
        listed = map(from_base64, self.directory().info.issuing_authorities)  # keys may be lost
        return tuple(
            item
            for item in dict.fromkeys((*here, *listed))
            if x509.load_der_x509_certificate(item).subject == issuer
        )

    def directory(self) -> Directory:
        """The published directory, verified from its first root as every reader does."""
        return self.publisher.directory()

    def publishes_alone(self) -> bool:
        """Whether this machine says who exists without its officers (auto_publish)."""
        return self.publisher.signers().identity is not None

    def waiting(self) -> list[Change]:
        """What the officers have to sign before the directory says it."""
        with self.folder.turn() as turn:
            return self.publisher.waiting(turn)

    def tls_certificates(self) -> list[bytes]:
        """The registry's own TLS certificates (DER), current first."""
        with self.folder.turn() as turn:
            return turn.read(lambda records: tls_certificates(records, REGISTRY_CODE))

    def keep_own_entry(self) -> bool:
        """Renews the registry's own keys when their time has come or they were revoked.

        Also publishes ``advertise`` when it was changed. A new seal is used once the directory
        lists it, which may have to wait for the officers.

        Returns:
            Whether a new endpoint statement was published.
        """
        self.publisher.log.require_newest()
        now = self._clock()
        with self.folder.turn() as turn:
            self._keep_own_seal(turn, now)
            seal = self._own_seal(turn, now)
            if seal is None:
                return False
            known = turn.read(lambda records: records.endpoint(REGISTRY_CODE))
            ended = {
                item.sha256
                for item in turn.read(lambda records: records.revocations(REGISTRY_CODE))
            }
            before = turn.read(lambda records: tls_certificates(records, REGISTRY_CODE))
            shown = [item for item in before if certificate_digest(item) not in ended]
            if shown and own_entry.tls_change_is_due(shown[-1], now):
                del shown[0]
            moved = known is None or not own_entry.says(known, self.settings.advertise, seal.sha256)
            if not moved and shown == before:
                return False
            while len(shown) < own_entry.TLS_CERTIFICATES:
                shown.append(self.make_tls())
            self.state_endpoint(turn, tuple(shown))
            return True

    def _keep_own_seal(self, turn: Turn, now: datetime) -> None:
        """Makes a new seal when the newest ends soon, was revoked, or its authority was retired."""
        newest = turn.read(lambda records: records.seal_certificates(REGISTRY_CODE))[-1]
        revocations = turn.read(lambda records: records.revocations(REGISTRY_CODE))
        is_revoked = newest.sha256 in {item.sha256 for item in revocations}
        leaves_authority = self.authority().certificate not in self.chain_of(newest.certificate)
        is_due = own_entry.seal_change_is_due(newest.certificate, now)
        if is_revoked or leaves_authority or is_due:
            self.enter_own_seal(turn)
            self.publisher.publish(turn)

    def _own_seal(self, turn: Turn, now: datetime) -> SealCertificate | None:
        """The newest seal of the registry that the directory lists; None: officers must sign."""
        listed = {seal.digests[0] for seal in self.directory().seals.current(REGISTRY_CODE, now)}
        seals = turn.read(lambda records: records.seal_certificates(REGISTRY_CODE))
        return next((seal for seal in reversed(seals) if seal.sha256 in listed), None)

    def enter_own_seal(self, turn: Turn) -> None:
        """Makes a seal key for the registry and keeps its certificate."""
        now = self._clock()
        agency = turn.read(lambda records: agencies.known_agency(records, REGISTRY_CODE))
        key_sha256 = b""

        def issue(request: bytes) -> bytes:
            nonlocal key_sha256
            asked = SealRequest(request)
            key_sha256 = requested_keys(asked).first_sha256
            return self.authority().issue(asked, agency, now)

        der = self.folder.keys.make_seal(REGISTRY_CODE, issue)
        certificate = SealCertificate(
            sha256=certificate_digest(der),
            agency=REGISTRY_CODE,
            key_sha256=key_sha256,
            certificate=der,
            issued_at=now,
        )
        turn.write(lambda records: records.add_seal_certificate(certificate))

    def make_tls(self) -> bytes:
        """Makes a TLS key and its certificate (DER)."""
        return self.folder.keys.make_tls(
            code=REGISTRY_CODE,
            server_name=own_entry.server_name(self.settings.network),
            now=self._clock(),
            life=own_entry.TLS_LIFE,
        )

    def state_endpoint(self, turn: Turn, certificates: tuple[bytes, ...]) -> Publication:
        """Seals and publishes the registry's own endpoint statement."""
        now = self._clock()
        seal = self._own_seal(turn, now)
        if seal is None:
            raise AssertionError("callers have a seal that is listed")
        version, digest = self.folder.directory.mark()
        sealed = own_entry.seal_own_endpoint(
            self.folder.keys.seal_signer(seal.certificate),
            OwnAddress(
                address=self.settings.advertise,
                server_name=own_entry.server_name(self.settings.network),
                certificates=certificates,
            ),
            network=self.settings.network,
            issuer=certificate_digest(self.chain_of(seal.certificate)[0]),
            mark=DirectoryMark(version=version, hash=digest.hex()),
            epoch=own_entry.epoch_id(now, secrets.randbits(80)),
            counter=own_entry.next_counter(
                turn.read(lambda records: records.endpoint(REGISTRY_CODE)), now
            ),
            now=now,
        )
        directory = self.directory()
        turn.write(lambda records: accept_endpoint(records, sealed, directory, now))
        return self.publisher.publish(turn)

    def act(
        self, actor: str, command: str, decide: Callable[[Records, datetime], Result]
    ) -> tuple[Result, Publication]:
        """Runs one decision in a turn, audits it whatever its end, and publishes."""
        now = self._clock()

        def decided(records: Records) -> Result:
            result = decide(records, now)
            records.add_audit(AuditEntry(now, actor, command, DONE))
            return result

        def act(turn: Turn) -> Result:
            try:
                return turn.write(decided)
            except EdocError as error:
                refused = AuditEntry(now, actor, command, error.reason)
                turn.write(lambda records: records.add_audit(refused))
                raise

        return self._turns.run(act)
