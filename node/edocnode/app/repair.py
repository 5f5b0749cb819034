"""Joins what keeps documents whole and complete: repair, scrubber, reckoning with peers."""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edoccore.directory.view import Directory
from edockit.blobs import BlobFolder
from edockit.language import marked
from edocnode.app.parts import SealingParts
from edocnode.domain.exchange import PeerLinks
from edocnode.settings import NodeSettings
from edocnode.storage.store import NodeStore
from edocnode.workers.answers import AnswerReader
from edocnode.workers.cleaning import Cleaner
from edocnode.workers.consistency import JournalProver, JournalWatch
from edocnode.workers.delivery import Dispatcher
from edocnode.workers.expiring import Expirer
from edocnode.workers.forwarding import Forwarder
from edocnode.workers.greeting import Greeter
from edocnode.workers.reckoning import Reckoner, Settler
from edocnode.workers.repairing import Broken, Repairer
from edocnode.workers.scrubbing import Scrubber
from edocnode.workers.sealer import Sealer
from edocnode.workers.sessions import Sessions
from edocnode.workers.setting_aside import SettingAside


@dataclass(frozen=True, slots=True)
class Repair:
    """The workers of repair."""

    repairer: Repairer
    scrubber: Scrubber
    cleaner: Cleaner
    scrubbing: SettingAside[str]
    cleaning: SettingAside[str]

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange, until it is cancelled."""
        return [
            self.repairer.run(),
            self.scrubbing.running(self.scrubber.run),
            self.cleaning.running(self.cleaner.run),
        ]


def build_repair(
    store: NodeStore,
    blobs: BlobFolder,
    links: PeerLinks,
    *,
    settings: NodeSettings,
    clock: Callable[[], datetime],
) -> Repair:
    """Builds the workers of repair."""
    aside: SettingAside[Broken] = SettingAside(
        "repair", marked("Getting damaged parts back"), alarms=store, clock=clock
    )
    repairer = Repairer(store=store, blobs=blobs, links=links, aside=aside, clock=clock)
    scrubber = Scrubber(
        store=store,
        blobs=blobs,
        look_at=repairer.look_at,
        judge=repairer.judge,
        suspects=repairer,
        bytes_per_second=settings.scrub_bytes_per_second,
    )
    cleaner = Cleaner(store=store, blobs=blobs, clock=clock)
    scrubbing: SettingAside[str] = SettingAside(
        "scrubbing", marked("Reading stored files again"), alarms=store, clock=clock
    )
    cleaning: SettingAside[str] = SettingAside(
        "cleaning", marked("Removing files that nothing needs"), alarms=store, clock=clock
    )
    return Repair(repairer, scrubber, cleaner, scrubbing, cleaning)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The workers that compare with peers what was sent and what arrived."""

    settler: Settler
    reckoner: Reckoner
    expirer: Expirer
    forwarder: Forwarder
    prover: JournalProver
    watch: JournalWatch

    def connect(self, sessions: Sessions, sealer: Sealer, dispatcher: Dispatcher) -> None:
        """Lets them hear what they work on, and what couriers work on."""
        self.expirer.leaves_out(dispatcher.held)
        sessions.on_settled(self.reckoner.heard)
        sessions.on_met(self.expirer.peer_met)
        sessions.on_met(self.watch.met)
        sealer.on_sealed(self.settler.on_sealed)

    async def stop(self) -> None:
        """Ends what runs in the background; it is begun again at the next hello."""
        await self.reckoner.stop()
        await self.watch.stop()

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange, until it is cancelled."""
        return [self.settler.run(), self.expirer.run(), self.forwarder.run()]


def build_reckoning(
    agency: str,
    sealing: SealingParts,
    links: PeerLinks,
    greeter: Greeter,
    *,
    reader: AnswerReader,
    dispatcher: Dispatcher,
    directory: Callable[[], Directory],
    clock: Callable[[], datetime],
) -> Reckoning:
    """Builds the workers of reckoning of an agency's node."""
    store = sealing.store

    def aside(name: str, work: str) -> SettingAside[Any]:
        return SettingAside(name, work, alarms=store, clock=clock)

    return Reckoning(
        Settler(
            store=store,
            greeter=greeter,
            aside=aside("settled", marked("Telling other nodes what is settled")),
        ),
        Reckoner(store=store, alarms=store, links=links, clock=clock),
        Expirer(
            agency=agency,
            store=store,
            links=links,
            reader=reader,
            wake_sealer=sealing.sealer.wake,
            chance=secrets.token_bytes,
            aside=aside("expiry", marked("Giving up deliveries that nobody answered")),
            clock=clock,
        ),
        Forwarder(
            agency=agency,
            store=store,
            dispatcher=dispatcher,
            wake_sealer=sealing.sealer.wake,
            directory=directory,
            chance=secrets.token_bytes,
            aside=aside("forwarding", marked("Sending on what waits for agencies that have ended")),
            clock=clock,
        ),
        JournalProver(agency, store),
        JournalWatch(store=store, seals=store, links=links, greet=greeter.greet, clock=clock),
    )
