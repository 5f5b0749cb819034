"""Long histories, made at random, against what must hold after every step of them.

Keeping and deliveries run on the real store (SQLite in memory), staging on real files too; a hello
is judged by the rule alone, beside an agency whose whole database is in view.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from edoccore.errors import DocumentUnknownError, PartDigestError
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Result
from edockit.blobs import BlobFolder
from edocnode.domain.model import (
    Arrival,
    DeliveryOutcome,
    DeliveryState,
    EpochHead,
    KeepKind,
    PeerJournal,
    QueuedDelivery,
    Submission,
)
from edocnode.domain.sealing import next_epoch
from edocnode.domain.sessions import HelloKind, OpenedEpoch, judge_hello, left_out
from edocnode.storage.store import NodeStore
from edocnode.workers.incoming import Incoming
from edocnode.workers.staging import Staging
from tests.integration.storage.offices import NOW, Office, arrival, given_up, submission
from tests.support.stores import open_in_memory

HARDER = max(1, int(os.environ.get("EDOC_TEST_EXAMPLES", "100")) // 100)
STATEMENT = SealedStatement(b"{}", 0, (), SignedSeal(b"{}", b""))
# A failing history is made short only when there is time for it: EDOC_TEST_EXAMPLES=1000.
PHASES = (Phase.generate, Phase.shrink) if HARDER > 1 else (Phase.generate,)
FEW = settings(max_examples=20 * HARDER, stateful_step_count=30, phases=PHASES)
MANY = settings(max_examples=150 * HARDER, stateful_step_count=40, phases=PHASES)


class OnAStore(RuleBasedStateMachine):
    """A node's store in memory, and the office H29 whose sealer works on it."""

    def __init__(self) -> None:
        super().__init__()
        self.database = open_in_memory()
        self.store = NodeStore(self.database)
        self.runner = asyncio.Runner()
        self.office = Office("H29", self.store)
        self.run(self.office.open())

    def run(self, work):
        return self.runner.run(work)

    def rows(self, query: str):
        return self.database.read(lambda connection: connection.execute(sa.text(query)).all())

    def teardown(self) -> None:
        self.runner.close()
        self.database.close()


class Keeping(OnAStore):
    """The first content under an id is kept for ever; each answer, once sealed, never changes.

    Two message ids, three contents, three epochs of the sender: few, so that they meet often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peer = Office("G01")
        self.ids = [submission("G01", ["H29"]).deliveries for _ in range(2)]
        self.contents = [
            [
                replace(submission("G01", ["H29"], content=b"%d" % number), deliveries=ids)
                for number in range(3)
            ]
            for ids in self.ids
        ]
        self.made: dict[tuple[int, int, int], Arrival] = {}
        self.first: dict[bytes, Arrival] = {}
        self.numbers: dict[bytes, int] = {}  # of what was kept, by digest of the envelope
        self.receipts: dict[int, bytes] = {}
        self.hour = 0

    @rule(
        batch=st.lists(
            st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)),
            min_size=1,
            max_size=4,
        )
    )
    def keep(self, batch):
        items = [self._arrival(*which) for which in batch]
        outcomes = self.run(self.store.keep(items))
        for item, outcome in zip(items, outcomes, strict=True):
            assert outcome.kind is self._expected(item), outcome.kind
            held = self.first[item.message_id]
            if outcome.kind is not KeepKind.CONFLICT:
                assert outcome.known.envelope == held.envelope
            owner = held if outcome.kind is KeepKind.EQUAL else item
            number = self.numbers.setdefault(owner.envelope_digest, outcome.known.incoming_id)
            assert number == outcome.known.incoming_id

    @rule()
    def seal(self):
        self.run(self.office.seal_all())

    @rule()
    def restart_of_the_sealer(self):
        self.hour += 1
        self.run(self.office.open(NOW + timedelta(hours=self.hour)))

    @invariant()
    def sealed_answers_stay(self):
        found = self.run(self.store.receipts(list(self.numbers.values())))
        told = {number: receipt.statement for number, receipt in found.items()}
        assert self.receipts.items() <= told.items()
        self.receipts = told

    @invariant()
    def what_is_visible_was_kept_first_and_answered(self):
        visible = {row.incoming_id for row in self.rows("SELECT incoming_id FROM inbox")}
        first = {self.numbers[item.envelope_digest] for item in self.first.values()}
        assert visible == first & self.receipts.keys()

    def _arrival(self, message: int, content: int, epoch: int) -> Arrival:
        """The content under the id; in another epoch it has the same content in another form."""
        key = (message, content, epoch)
        if key not in self.made:
            self.peer.start(NOW + timedelta(hours=len(self.made)))
            made = self.contents[message][content]
            self.made[key] = arrival(self.peer.envelope(made), made.inline)
        return self.made[key]

    def _expected(self, item: Arrival) -> KeepKind:
        held = self.first.get(item.message_id)
        if held is None:
            self.first[item.message_id] = item
            return KeepKind.NEW
        if item.envelope_digest == held.envelope_digest:
            return KeepKind.SAME
        # Each content here is a document of its own.
        same = item.document_id == held.document_id
        return KeepKind.EQUAL if same else KeepKind.CONFLICT


class Deliveries(OnAStore):
    """A receipt wins over every other state, whenever it comes; nothing wins over a receipt."""

    queued = Bundle("queued")

    def __init__(self) -> None:
        super().__init__()
        self.peer = Office("G01")
        self.now = NOW
        self.made: dict[bytes, Submission] = {}
        self.final: dict[bytes, DeliveryState] = {}

    @initialize(target=queued)
    def submit(self):
        for _ in range(2):
            made = submission()
            self.run(self.store.submit(made))
            self.made[made.deliveries[0].message_id] = made
        return self.offer()

    @rule(target=queued)
    def offer(self):
        self.run(self.office.seal_all(self.now))
        found = self.run(self.store.due("G01", self.now, 10))
        assert not {item.message_id for item in found} & self.final.keys()
        return multiple(*found)

    @rule(item=queued)
    def parts_leave(self, item):
        self.run(self.store.parts_leave([item.message_id]))

    @rule()
    def stream_breaks(self):
        self.run(self.store.give_back_all())

    @rule(item=queued, result=st.sampled_from(Result))
    def receipt(self, item, result):
        reason = "" if result is Result.RECEIVED else "RECORD_INVALID"
        [sealed] = self.peer.receipts([item], result=result, reason=reason)
        received = result is Result.RECEIVED
        state = DeliveryState.DELIVERED if received else DeliveryState.REJECTED
        self._record(item, state, receipt=sealed, reason=reason)
        self.final.setdefault(item.message_id, state)

    @rule(item=queued)
    def refusal(self, item):
        self._record(item, DeliveryState.HELD, reason="SEAL_INVALID")

    @rule(item=queued)
    def try_later(self, item):
        later = self.now + timedelta(seconds=5)
        self._record(item, DeliveryState.QUEUED, reason="DISK_FULL", next_at=later)

    @rule(days=st.sampled_from([1, 31]))
    def time_passes(self, days):
        """The envelopes end after 30 days; what is being offered then is given back first."""
        self.now += timedelta(days=days)
        self.run(self.store.give_back_all())
        self.run(given_up(self.store, self.now))

    @invariant()
    def receipts_stand(self):
        for message_id, made in self.made.items():
            state = self.run(self.store.submit(made)).deliveries[0][2]
            if message_id in self.final:
                assert state is self.final[message_id], state
            else:
                assert state not in {DeliveryState.DELIVERED, DeliveryState.REJECTED}

    def _record(self, item: QueuedDelivery, state: DeliveryState, **more: object) -> None:
        outcome = DeliveryOutcome(
            message_id=item.message_id,
            document_id=item.document_id,
            recipient=item.recipient,
            state=state,
            **more,
        )
        self.run(self.store.record([outcome], self.now))


@dataclass
class Journal:
    """An agency's database: its epochs, each with its opening and the number of its seals."""

    openings: list[OpenedEpoch] = field(default_factory=list)
    sizes: dict[bytes, int] = field(default_factory=dict)

    def holds(self, epoch: bytes, index: int) -> bool:
        return index < self.sizes.get(epoch, 0)


class Hellos(RuleBasedStateMachine):
    """A restart is never taken for a loss, a loss always for one, an older copy for what it is."""

    backups = Bundle("backups")

    def __init__(self) -> None:
        super().__init__()
        self.hour = 0
        self.journal = Journal()
        self.newest = b""  # epoch known to the peer
        self.seen: set[tuple[bytes, int]] = set()
        self.start()

    @rule()
    def start(self):
        """The sealer starts: a new epoch, above all that its own database has."""
        self.hour += 1
        last = self.journal.openings[-1] if self.journal.openings else None
        previous = None
        if last is not None:
            size = self.journal.sizes[last.epoch]
            previous = EpochHead(epoch=last.epoch, size=size, root=bytes(32))
        newest = last.epoch if last else b""
        epoch = next_epoch(NOW + timedelta(hours=self.hour), newest, random=bytes(10))
        self.journal.openings.append(
            OpenedEpoch(agency="H29", epoch=epoch, previous=previous, time=NOW, statement=STATEMENT)
        )
        self.journal.sizes[epoch] = 1

    @rule(count=st.integers(1, 3), delivered=st.booleans())
    def seal(self, count, delivered):
        """Some seals; the peer sees the first of them, if it knows the epoch."""
        epoch = self.journal.openings[-1].epoch
        if delivered and self.newest == epoch:
            self.seen.add((epoch, self.journal.sizes[epoch]))
        self.journal.sizes[epoch] += count

    @rule(target=backups)
    def back_up(self):
        return deepcopy(self.journal)

    @rule(backup=backups, meets=st.booleans())
    def restore(self, backup, meets):
        self.journal = deepcopy(backup)
        self.start()
        if meets:
            self.say_hello()

    @rule()
    def lose_everything(self):
        self.journal = Journal()
        self.start()

    @rule()
    def say_hello(self):
        self._meet(self.journal)

    @rule(copy=backups)
    def a_copy_of_the_folder_says_hello(self, copy):
        """It was copied while it ran, so it goes on in its epoch."""
        self._meet(copy)

    def _meet(self, journal: Journal) -> None:
        chain = list(reversed(journal.openings))[:65]
        below = sorted(item for item in self.seen if item[0] < chain[0].epoch)
        highest = below[-1] if below else None
        known = PeerJournal(
            agency="H29",
            epoch=self.newest,
            opening=STATEMENT if self.newest else None,
            highest=STATEMENT.seal if highest else None,
            highest_epoch=highest[0] if highest else b"",
            highest_index=highest[1] if highest else -1,
        )
        kind = judge_hello(known, chain[0])
        if not self.newest:
            assert kind is HelloKind.FIRST
        elif chain[0].epoch < self.newest:
            assert kind is HelloKind.SUPERSEDED
            return
        else:
            same = chain[0].epoch == self.newest
            assert kind is (HelloKind.SAME if same else HelloKind.NEWER)
        lost = highest is not None and not journal.holds(*highest)
        assert (left_out(known, chain) is not None) is lost
        self.newest = chain[0].epoch


class Transfers(OnAStore):
    """What a node says it has of a part is on its disk, and a part is complete only when whole."""

    SIZE = 200_000  # over what goes into the database

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edoc-fuzz-"))
        self.content = bytes(range(256)) * (self.SIZE // 256 + 1)
        self.content = self.content[: self.SIZE]
        peer = Office("G01")
        made = submission("G01", ["H29"], large=self.SIZE)
        large = msgspec.structs.replace(made.parts[2], sha256=sha256(self.content).hexdigest())
        made = replace(made, parts=(*made.parts[:2], large))
        self.arrival = arrival(peer.envelope(made), made.inline)
        self.incoming: Incoming | None = None
        self.written = 0  # through the open transfer, from its first byte on
        self.wrong = False
        self.durable = 0
        self.gone = False  # the staging file, after which the next transfer begins anew
        self._start()

    def _start(self) -> None:
        self.staging = Staging(
            inbox=self.store,
            blobs=BlobFolder(self.folder / "blobs", reserve_bytes=0),
            quota_bytes=1 << 30,
            clock=lambda: NOW,
        )

    @initialize()
    def offer_and_begin(self):
        self.offer()
        self.begin()

    @rule()
    def offer(self):
        parts = self.run(self.staging.offer("G01", self.arrival))
        wanted = {part.index: part.offset for part in self.staging.wanted(parts)}
        assert self.gone or wanted.get(2, self.SIZE) == self.durable

    @rule()
    def begin(self):
        """A transfer under way is ended first, with all it has written."""
        if self.incoming is not None and not self.incoming.complete:
            self.durable = self.written
        try:
            self.incoming = self.run(self.staging.receive("G01", self.arrival.message_id, 2))
        except DocumentUnknownError:
            assert not self._offered()
            return
        if self.gone:
            assert self.incoming.offset in {0, self.SIZE}
            self.wrong = False
        else:
            assert self.incoming.offset == self.durable
        self.gone = False
        self.durable = self.written = self.incoming.offset
        if self.incoming.complete:
            assert self._stored()

    @precondition(lambda self: self.incoming is not None and not self.incoming.complete)
    @rule(
        size=st.sampled_from([1000, 100_000, SIZE, SIZE + 1]),
        wrong=st.booleans(),
        then_finish=st.booleans(),
    )
    def write(self, size, wrong, then_finish):
        chunk = self.content[self.written : self.written + size]
        if size > self.SIZE:
            chunk = bytes(size)
        elif wrong:
            chunk = b"?" * len(chunk)
            self.wrong = self.wrong or bool(chunk)
        try:
            self.run(self.incoming.write([chunk]))
        except PartDigestError:
            self._discarded()
        else:
            self.written += len(chunk)
            self.durable = self.incoming.offset
            if then_finish:
                self._finish()

    def _finish(self):
        short = self.written < self.SIZE
        try:
            self.run(self.incoming.finish())
        except PartDigestError:
            assert short or self.wrong
            if short:
                self.durable = self.incoming.offset
                assert self.durable == self.written
            else:
                self._discarded()
        else:
            assert not short
            assert not self.wrong
            assert self._stored()
            self.durable = self.SIZE

    @precondition(lambda self: self.incoming is not None)
    @rule(lost=st.booleans())
    def end(self, lost):
        self.run(self.incoming.close())
        self.durable = self.incoming.offset
        self.incoming = None
        if lost:
            self._lose_the_file()

    @rule(torn=st.booleans(), lost=st.booleans())
    def crash(self, torn, lost):
        """Nothing is closed; of the file there is what was synced, or some more, or nothing."""
        self.incoming = None
        self.staging._open.clear()
        for item in self.staging._blobs.iter_staging():
            path = self.folder / "blobs" / "staging" / item.key
            kept = path.read_bytes()
            path.write_bytes(kept[: self.durable] + (b"torn" if torn else b""))
        self._start()
        if lost:
            self._lose_the_file()

    def _lose_the_file(self):
        for item in list(self.staging._blobs.iter_staging()):
            self.staging._blobs.discard(item.key)
            self.gone = True

    @invariant()
    def offsets_are_on_disk(self):
        for part in self.run(self.store.staged("G01", self.arrival.message_id)):
            if part.index != 2:
                continue
            assert part.offset <= self.SIZE
            if part.complete:
                assert self._stored()
            elif part.offset and not self.gone and not self._stored():
                [item] = list(self.staging._blobs.iter_staging())
                assert item.size_bytes >= part.offset

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    def _offered(self) -> Sequence[object]:
        return self.run(self.store.staged("G01", self.arrival.message_id))

    def _stored(self) -> bool:
        path = self.staging._blobs.path(sha256(self.content).hexdigest())
        return path.exists() and path.read_bytes() == self.content

    def _discarded(self) -> None:
        self.incoming = None
        self.durable = self.written = 0
        self.wrong = False


def _test(machine: type[RuleBasedStateMachine], effort: settings):
    machine.TestCase.settings = effort
    return machine.TestCase


TestKeeping = pytest.mark.timeout(300 * HARDER)(_test(Keeping, FEW))
TestDeliveries = pytest.mark.timeout(300 * HARDER)(_test(Deliveries, FEW))
TestHellos = pytest.mark.timeout(300 * HARDER)(_test(Hellos, MANY))
TestTransfers = pytest.mark.timeout(300 * HARDER)(_test(Transfers, FEW))
