"""Puts the services for offices and for the administrator on the sockets of this machine.

Whoever can open the node's own socket (mode 0600) may call all of them; there is no other check. On
the socket for offices there is office/v1 alone, behind ``office_gate``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import grpc

from edockit.blobs import BlobFolder
from edocnet.access.v1 import access_service_pb2_grpc as access_services
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnet.admin.v1 import alarm_service_pb2_grpc as alarm_services
from edocnet.admin.v1 import quarantine_service_pb2_grpc as quarantine_services
from edocnet.admin.v1 import subagency_service_pb2_grpc as subagency_services
from edocnet.office.v1 import office_service_pb2_grpc as office_services
from edocnode.domain.access_log import AccessLog
from edocnode.domain.alarms import AlarmBook
from edocnode.domain.encryption import EncryptionKeys
from edocnode.domain.holds import HoldStore
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.official_numbers import NumberBook, NumberingRules
from edocnode.domain.own_keys import OwnKeys
from edocnode.domain.ports import Submissions
from edocnode.domain.repair import Suspects
from edocnode.domain.retention import RetentionRules, RetentionStore
from edocnode.domain.revoking import SentRevocations
from edocnode.domain.signature_checks import Rechecks
from edocnode.rpc.access_desk import AccessDesk
from edocnode.rpc.access_service import AccessParts, AccessServicer
from edocnode.rpc.admin import (
    AcceptsCodes,
    AdminParts,
    AdminServicer,
    AdminStore,
    DirectoryView,
    Evidence,
    Greets,
    Place,
    SealerView,
)
from edocnode.rpc.alarms import AlarmParts, AlarmServicer
from edocnode.rpc.office import OfficeServicer
from edocnode.rpc.office_admission import OfficeParts, TakesDrafts, Wakes
from edocnode.rpc.overview import OverviewParts
from edocnode.rpc.quarantine import QuarantineParts, QuarantineServicer
from edocnode.rpc.revoking import Answers
from edocnode.rpc.subagencies import Lists, SubagencyServicer
from edocnode.rpc.submissions import discard_leftovers


class LocalStore(Submissions, AdminStore, AlarmBook, Protocol):
    """What both services need of storage, besides what the office reads."""


class LocalSealer(SealerView, TakesDrafts, Protocol):
    """What both services need of the sealer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalParts:
    """What the local services work with.

    Attributes:
        agency: That owns the node.
        version: Of the program.
        answers: Answers what senders asked for.
        damage: Told of parts that are not what was stored.
        book: Where official numbers are given, as ``numbering`` says.
        rechecks: Checks signatures again.
        encryption: Keys that parts are encrypted to and read with.
    """

    agency: str
    network: str
    version: str
    store: LocalStore
    office: OfficeStore
    revocations: SentRevocations
    answers: Answers
    sealer: LocalSealer
    scheduler: Wakes
    directory: DirectoryView
    greeter: Greets
    evidence: Evidence
    own_entry: AcceptsCodes
    keys: OwnKeys
    subagencies: Lists
    overview: OverviewParts
    blobs: BlobFolder
    damage: Suspects
    book: NumberBook
    numbering: NumberingRules
    rechecks: Rechecks
    encryption: EncryptionKeys
    desk: AccessDesk
    history: AccessLog
    holds: HoldStore
    retention: RetentionStore
    rules: RetentionRules
    quarantine: QuarantineParts
    clock: Callable[[], datetime]


def office_parts(parts: LocalParts) -> OfficeParts:
    """What the office's service works with, for a caller who may do all."""
    return OfficeParts(
        agency=parts.agency,
        office=parts.office,
        submissions=parts.store,
        revocations=parts.revocations,
        answers=parts.answers,
        blobs=parts.blobs,
        damage=parts.damage,
        sealer=parts.sealer,
        scheduler=parts.scheduler,
        directory=parts.directory,
        overview=parts.overview,
        rechecks=parts.rechecks,
        encryption=parts.encryption,
        book=parts.book,
        numbering=parts.numbering,
        clock=parts.clock,
    )


def register_local(server: grpc.aio.Server, parts: LocalParts) -> Place:
    """Offers office/v1, admin/v1 and access/v1; removes what broken submissions left.

    Returns:
        To be filled in once the addresses are bound; ``status`` shows it.
    """
    discard_leftovers(parts.blobs)
    place = Place()
    admin = AdminServicer(
        AdminParts(
            agency=parts.agency,
            network=parts.network,
            version=parts.version,
            store=parts.store,
            office=parts.office,
            late=parts.overview.late,
            sealer=parts.sealer,
            directory=parts.directory,
            greeter=parts.greeter,
            evidence=parts.evidence,
            own_entry=parts.own_entry,
            keys=parts.keys,
            clock=parts.clock,
            started_at=parts.clock(),
            place=place,
        )
    )
    office = OfficeServicer(office_parts(parts))
    quarantine = QuarantineServicer(parts.quarantine)
    quarantine_services.add_QuarantineServiceServicer_to_server(quarantine, server)
    office_services.add_OfficeServiceServicer_to_server(office, server)
    admin_services.add_AdminServiceServicer_to_server(admin, server)
    access_services.add_AccessServiceServicer_to_server(_access(parts), server)
    lists = SubagencyServicer(parts.subagencies)
    subagency_services.add_SubagencyServiceServicer_to_server(lists, server)
    alarm_services.add_AlarmServiceServicer_to_server(_alarms(parts), server)
    return place


def _alarms(parts: LocalParts) -> AlarmServicer:
    return AlarmServicer(
        AlarmParts(
            network=parts.network,
            agency=parts.agency,
            book=parts.store,
            sealer=parts.sealer,
            clock=parts.clock,
        )
    )


def _access(parts: LocalParts) -> AccessServicer:
    return AccessServicer(
        AccessParts(
            desk=parts.desk,
            office=parts.office,
            history=parts.history,
            holds=parts.holds,
            retention=parts.retention,
            rules=parts.rules,
            sealer=parts.sealer,
            clock=parts.clock,
        )
    )


def register_offices(server: grpc.aio.Server) -> None:
    """Offers office/v1 behind a gate, which puts each account's own office in place of this one.

    What is registered here answers nothing, so without its gate the socket would be of no use.
    """
    nothing = office_services.OfficeServiceServicer()  # type: ignore[abstract]  # refuses each call
    office_services.add_OfficeServiceServicer_to_server(nothing, server)
