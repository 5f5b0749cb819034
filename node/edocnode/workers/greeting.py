"""Saying hello: to all peers at a start and a takeover, and fetching back what a restore lost.

A hello tells peers that this node is back, which ends their backoff at once, and brings to light
whether this node's journal lost its tail or another copy of it is running. A peer that cannot
answer just then is greeted again: it may have nothing to send, and would not learn of a loss.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Protocol

import structlog

from edoccore.directory.view import Directory
from edoccore.errors import EdocError, HelloMissingError, SealInvalidError, StorageFailedError
from edoccore.identity.agency import REGISTRY_CODE
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, check_membership, open_seal
from edoccore.signing.statements import Envelope, Receipt
from edockit.language import marked
from edocnode.domain.checks import check_part
from edocnode.domain.exchange import Hello, PeerLinks, Recovered
from edocnode.domain.ports import Alarms, Outbox, Peers
from edocnode.domain.setting_aside import Peer
from edocnode.workers.room import when_there_is_room
from edocnode.workers.sessions import Sessions
from edocnode.workers.setting_aside import SettingAside

AT_ONCE = 32  # hellos under way
AGAIN_EVERY = timedelta(seconds=10)  # what met a fault of this program is due once a minute
SOON_AGAIN, LATE_AGAIN = timedelta(seconds=10), timedelta(hours=1)  # where nobody answered: doubled

log = structlog.get_logger(__name__)


class Store(Peers, Outbox, Alarms, Protocol):
    """What is needed of storage."""


class Greeter:
    """Says hello and takes back what peers return."""

    def __init__(
        self,
        *,
        network: str,
        agency: str,
        links: PeerLinks,
        sessions: Sessions,
        store: Store,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts."""
        self._network = network
        self._agency = agency
        self._links = links
        self._sessions = sessions
        self._store = store
        self._directory = directory
        self._clock = clock
        self._aside: SettingAside[Peer] = SettingAside(
            "greeting", marked("Greeting other nodes"), alarms=store, clock=clock
        )
        self._unanswered: dict[
            str, tuple[timedelta, float]
        ] = {}  # last wait; next, by the loop's clock
        self._all_due = False  # every known peer is to be greeted
        self._wake = asyncio.Event()
        self._recovering: dict[str, asyncio.Task[None]] = {}

    async def greet(self, agency: str) -> Hello:
        """Exchanges hellos with one peer.

        Raises:
            EdocError: It cannot be reached, or its hello does not hold.
        """
        link = self._links.link(agency)
        mine = await self._sessions.hello_to(agency)
        theirs = await link.hello(mine)
        meeting = await self._sessions.meet(agency, theirs)
        if meeting.tail_lost and not mine.tail_lost:
            # It cannot know yet, and may have no cause to call soon.
            await link.hello(await self._sessions.hello_to(agency))
        return theirs

    async def greet_all(self) -> None:
        """Says hello to every peer that was met or tried before; to all at a first start.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        self._all_due = True  # until it was begun: reading whom to greet may meet a fault
        await when_there_is_room("greeting", partial(self._aside.look, self._greet_known))

    def everybody_again(self) -> None:
        """Has every known peer greeted soon: who has nothing to send would not call for long.

        After a takeover they learn by it which copy of this node speaks, and what it lost.
        """
        self._all_due = True
        self._wake.set()

    async def run(self) -> None:
        """Says hello again where nobody answered, or it met a fault, until cancelled.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_EVERY.total_seconds()):
                    await self._wake.wait()
            self._wake.clear()
            look = self._greet_known if self._all_due else self._greet_again
            await when_there_is_room("greeting", partial(self._aside.look, look))

    def peer_met(self, agency: str) -> None:
        """A peer answered or said hello."""
        self._unanswered.pop(agency, None)

    def recover(self, agency: str) -> None:
        """Fetches in the background what a peer holds of this node's lost tail."""
        running = self._recovering.get(agency)
        if running is not None and not running.done():
            return
        self._recovering[agency] = asyncio.create_task(self._recover(agency))

    async def stop(self) -> None:
        """Ends what runs in the background; it is begun again at the next hello."""
        tasks = list(self._recovering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet_known(self) -> None:
        known = await self._store.peer_statuses()
        listed = self._directory().endpoints.keys() - {self._agency, REGISTRY_CODE}
        self._all_due = False
        await self._greet_many([code for code in known if code in listed] or sorted(listed))

    async def _greet_again(self) -> None:
        now, listed = asyncio.get_running_loop().time(), self._directory().endpoints.keys()
        unanswered = [code for code, (_, at) in self._unanswered.items() if at <= now]
        faulty = [peer.agency for peer in self._aside.due()]
        await self._greet_many({*faulty, *(code for code in unanswered if code in listed)})

    async def _greet_many(self, agencies: Iterable[str]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(agency: str) -> None:
            async with places:
                await self._aside.one(Peer(agency), partial(self._try, agency))

        await asyncio.gather(*(one(agency) for agency in agencies))

    async def _try(self, agency: str) -> None:
        """Says hello to one peer, which need not answer."""
        try:
            await self.greet(agency)
        except StorageFailedError:
            raise
        except EdocError as error:
            log.info("hello.unanswered", agency=agency, reason=error.reason)
            before, _ = self._unanswered.get(agency, (SOON_AGAIN / 2, None))
            wait = min(before * 2, LATE_AGAIN)
            next_at = asyncio.get_running_loop().time() + wait.total_seconds()
            self._unanswered[agency] = wait, next_at
        else:
            self.peer_met(agency)

    async def _recover(self, agency: str) -> None:
        try:
            try:
                count = await self._take_all_back(agency)
            except HelloMissingError:
                # It started again and cannot tell what is missing before it has met this node.
                await self.greet(agency)
                count = await self._take_all_back(agency)
        except EdocError as error:
            log.warning("recovery.stopped", agency=agency, reason=error.reason)
            return
        except Exception:
            log.exception("recovery.failed", agency=agency)
            return
        log.info("recovery.done", agency=agency, count=count)
        await self._greet_many([agency])  # the alarm ends with a hello that tells of no loss

    async def _take_all_back(self, agency: str) -> int:
        count = 0
        async for item in self._links.link(agency).recover():
            count += await self._take_back(agency, item)
        await self._links.link(agency).recovered()
        return count

    async def _take_back(self, agency: str, item: Recovered) -> bool:
        """Adopts what holds; what does not is left out and keeps nothing else from coming back."""
        try:
            await asyncio.to_thread(self._check, agency, item)
        except EdocError as error:
            log.error("recovery.left_out", agency=agency, reason=error.reason, why=error.message)
            return False
        return await when_there_is_room(
            "recovery",
            lambda: self._store.adopt(item.envelope, item.receipt, item.record, self._clock()),
        )

    def _check(self, agency: str, item: Recovered) -> None:
        """What is taken back was sealed here and sent to this peer; its receipt is the peer's."""
        self._check_sealed(self._agency, item.envelope)
        envelope = canonical.decode(item.envelope.statement, Envelope)
        if envelope.to_node != agency:
            raise SealInvalidError(
                f"{agency} gave back an envelope that was sent to {envelope.to_node}.",
                agency=agency,
            )
        if item.record:
            check_part(envelope.parts[0], item.record, envelope.message_id)
        if item.receipt is None:
            return
        self._check_sealed(agency, item.receipt)
        receipt = canonical.decode(item.receipt.statement, Receipt)
        digest = sha256(item.envelope.statement).hexdigest()
        stated = (receipt.envelope, receipt.message_id, receipt.from_, receipt.to)
        if stated != (digest, envelope.message_id, envelope.to, envelope.from_):
            raise SealInvalidError(
                f"{agency} gave back an envelope with a receipt for another one.", agency=agency
            )

    def _check_sealed(self, signer: str, sealed: SealedStatement) -> None:
        seal = open_seal(sealed.seal, self._directory(), network=self._network, at=self._clock())
        if seal.seal.signer != signer:
            raise SealInvalidError(
                f"A statement of {signer} came under a seal of {seal.seal.signer}.", agency=signer
            )
        check_membership(seal.seal, sealed.statement, sealed.leaf, sealed.proof)
