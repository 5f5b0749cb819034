"""What runs beside the exchange until the node stops, and goes on after a fault of this program.

A loop looks again and again at what is in database and files, so one that met a fault outside of a
single document is tried again: nothing of what it did by halves was kept. A disk that failed ends
the node all the same, and so does whatever says that the journal is broken.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from edockit.language import marked
from edocnode.app.announcing import announce
from edocnode.app.encryption_keys import build_encryption_watch
from edocnode.app.ground import Ground, Workers
from edocnode.app.resting import give_back_at_rest
from edocnode.app.timestamps import build_timestamper
from edocnode.domain.setting_aside import SOON
from edocnode.rpc.peers import Links
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside
from edocnode.workers.staging import Staging

SWEEP_EVERY = timedelta(minutes=10)
REST_EVERY = timedelta(seconds=1)  # in which hundreds of peers may turn out to be down

Job = Coroutine[Any, Any, None]


def start_loops(ground: Ground, workers: Workers, listen: str) -> list[asyncio.Task[None]]:
    """Begins all of them; ``listen`` is where peers call unless the settings say otherwise."""
    jobs = [
        *_loops(ground, workers),
        _announce(ground, workers, ground.settings.advertise or listen),
        workers.dispatcher.run(),
        workers.greeter.run(),
        *workers.repair.jobs(),
        *workers.reckoning.jobs(),
        *workers.revocations.jobs(),
        *workers.scanning.jobs(),
        *workers.overview.jobs(),
    ]
    return [asyncio.create_task(job) for job in jobs]


def resting(ground: Ground, name: str, work: str) -> SettingAside[str]:
    """The guard of a work that is missed at once: it rests for a minute at most after a fault."""
    return SettingAside(name, work, alarms=ground.sealing.store, clock=ground.clock, longest=SOON)


def _loops(ground: Ground, workers: Workers) -> list[Job]:
    """Those that work on no single document or peer; each is begun anew after a fault."""
    guard = partial(resting, ground)
    jobs = [
        guard("directory", marked("Following the directory")).running(ground.keeper.run),
        guard("schedule", marked("Sending what was kept for later")).running(workers.scheduler.run),
        guard("tls", marked("Renewing TLS certificates")).running(workers.tls_renewal.run),
        guard("seal", marked("Renewing the seal")).running(workers.seal_keeper.run),
        guard("suspensions", marked("Telling which agencies flood this node")).running(
            workers.suspensions.run
        ),
        guard("sweep", marked("Removing parts of offers that ended")).running(
            partial(_sweep, workers.staging)
        ),
        guard("links", marked("Closing connections that rest")).running(
            partial(_rest, workers.links)
        ),
        guard("memory", marked("Giving memory back")).running(give_back_at_rest),
        guard("signatures", marked("Checking signatures")).running(workers.signatures.loop.run),
        guard("own_entry", marked("Watching over the own entry of the directory")).running(
            workers.own_entry.run
        ),
        guard("encryption_keys", marked("Watching over the encryption keys")).running(
            build_encryption_watch(ground).run
        ),
        guard("subagencies", marked("Publishing the list of sub-agencies")).running(
            workers.subagencies.run
        ),
    ]
    stamper = build_timestamper(ground.settings, ground.folder.path, ground.sealing, ground.clock)
    if stamper is not None:
        jobs.append(guard("timestamps", marked("Having seals timestamped")).running(stamper.run))
    return jobs


async def _announce(ground: Ground, workers: Workers, address: str) -> None:
    """Greets all peers, and keeps the own entry of the directory right."""
    await ground.sealing.sealer.opened()
    await workers.greeter.greet_all()
    aside = resting(ground, "address", marked("Keeping the own address in the directory right"))
    refresh = ground.keeper.refresh
    await aside.running(partial(announce, ground.context, ground.sealing, address, refresh=refresh))


async def _sweep(staging: Staging) -> None:
    while True:
        await when_there_is_room("sweep", staging.sweep)
        await asyncio.sleep(SWEEP_EVERY.total_seconds())


async def _rest(links: Links) -> None:
    while True:
        await asyncio.sleep(REST_EVERY.total_seconds())
        await links.rest()
