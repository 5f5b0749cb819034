"""Puts the services for the office and for operators on the node's own socket.

Whoever can open the socket (mode 0600) may call; there is no other check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import grpc

from edockit.blobs import BlobFolder
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnet.office.v1 import office_service_pb2_grpc as office_services
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.official_numbers import NumberBook, NumberingRules
from edocnode.domain.ports import Submissions
from edocnode.domain.repair import Suspects
from edocnode.domain.revoking import SentRevocations
from edocnode.domain.signature_checks import Rechecks
from edocnode.rpc.admin import (
    AdminParts,
    AdminServicer,
    AdminStore,
    DirectoryView,
    Evidence,
    Greets,
    Place,
    SealerView,
)
from edocnode.rpc.office import OfficeServicer
from edocnode.rpc.office_admission import OfficeParts, TakesDrafts, Wakes
from edocnode.rpc.overview import OverviewParts
from edocnode.rpc.revoking import AnswersRevocations
from edocnode.rpc.submissions import discard_leftovers


class LocalStore(Submissions, AdminStore, Protocol):
    """What both services need of storage, besides what the office reads."""


class LocalSealer(SealerView, TakesDrafts, Protocol):
    """What both services need of the sealer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalParts:
    """What the local services work with.

    Attributes:
        agency: That owns the node.
        version: Of the program.
        answers: Answers revocations that were received.
        damage: Told of parts that are not what was stored.
        book: Where official numbers are given, as ``numbering`` says.
        rechecks: Checks signatures again.
    """

    agency: str
    network: str
    version: str
    store: LocalStore
    office: OfficeStore
    revocations: SentRevocations
    answers: AnswersRevocations
    sealer: LocalSealer
    scheduler: Wakes
    directory: DirectoryView
    greeter: Greets
    evidence: Evidence
    overview: OverviewParts
    blobs: BlobFolder
    damage: Suspects
    book: NumberBook
    numbering: NumberingRules
    rechecks: Rechecks
    clock: Callable[[], datetime]


def register_local(server: grpc.aio.Server, parts: LocalParts) -> Place:
    """Offers office/v1 and admin/v1; removes what broken submissions left.

    Returns:
        To be filled in once the addresses are bound; ``status`` shows it.
    """
    discard_leftovers(parts.blobs)
    place = Place()
    office = OfficeServicer(
        OfficeParts(
            agency=parts.agency,
            office=parts.office,
            submissions=parts.store,
            revocations=parts.revocations,
            answers=parts.answers,
            blobs=parts.blobs,
            damage=parts.damage,
            book=parts.book,
            numbering=parts.numbering,
            sealer=parts.sealer,
            scheduler=parts.scheduler,
            directory=parts.directory,
            rechecks=parts.rechecks,
            overview=parts.overview,
            clock=parts.clock,
        )
    )
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
            clock=parts.clock,
            started_at=parts.clock(),
            place=place,
        )
    )
    office_services.add_OfficeServiceServicer_to_server(office, server)
    admin_services.add_AdminServiceServicer_to_server(admin, server)
    return place
