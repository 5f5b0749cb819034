"""What must hold: judged on the wire while a run goes on, and in all databases when it is quiet.

By the product's own verification of seals, receipts and journals, and against what offices were
told. The invariants:

I1 nothing acknowledged is lost, I2 nothing is doubled, I3 nothing unverified is visible, I4 who is
told "delivered" holds the receipt that the recipient stored, I5 journals are whole and no place
has two seals, I6 no file is left over, I7 queues drain, I8 what is old or lost is told, I9 nothing
piles up, I10 what was taken back cannot be read and both sides agree where a document stands, I11
who knows of an agency's end takes nothing that it seals after it, and its node nothing new, I12
nobody is accused of having altered a journal; and the order of lanes, and one message for each seq.
What cannot be delivered since an agency has ended is told to its sender.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edoccore.agency_errors import AgencyEndedError
from edoccore.errors import EdocError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SignedSeal, check_membership, open_seal
from edoccore.signing.statements import (
    Envelope,
    Operation,
    Receipt,
    Seal,
    parse_time,
    uuid_bytes,
)
from edocnode.domain.consistency import JOURNAL_ALTERED, TWO_HISTORIES
from edocnode.domain.copies import NOT_REACHED
from edocnode.domain.exchange import Parcel
from edocnode.domain.journal import JournalVerdict, seal_keys, verify_journal
from edocnode.domain.model import INLINE_PART_BYTES, Lane
from edocnode.storage.journal import read_journal, read_openings
from edocnode.storage.listing import decode_parts
from edocnode.storage.seals import unpack_proof
from tests.simulation.realm import START
from tests.simulation.reform import seconds
from tests.support.audit import UNSEALED

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.office import Request
    from tests.simulation.world import World

# Faults that the product means for programming errors: no seed may bring one about.
NEVER_LOGGED = {
    "arrival.keep_failed",
    "call_failed",
    "courier.failed",
    "offer.processing_failed",
    "parcel.processing_failed",
    "recovery.failed",
}
TASKS_AT_REST = 28  # of one node: its loops, their waits and nothing else
# The last: what two agencies exchanged before they heard of an end, which is no evidence.
MAY_HAVE = ("may have the document", "No receipt came", "was sealed at")
WAITING = (
    "SELECT state, count(*) FROM delivery"
    " WHERE state IN ('unsealed', 'queued', 'waiting', 'sending') GROUP BY state"
)
PENDING = "SELECT count(*) FROM revocation WHERE state = 'pending'"
ENDED = "SELECT sender, hex(message_id) FROM stage WHERE ended = 1"
ORDERS_TO = """
    SELECT d.reason FROM delivery d JOIN document t ON t.id = d.document_row
    WHERE t.operation = 'revoke' AND d.document_id = ? AND d.to_node = ?
"""
ORDERED_AT = "SELECT min(at) FROM revoked_delivery WHERE document_id = ?"
SENT_ON = "SELECT DISTINCT message_id FROM delivery_envelope WHERE rank > 0"
ACCUSED = "SELECT subject, message FROM alarm WHERE kind IN (?, ?)"
MISSING = """
    SELECT t.parts, group_concat(d.to_node) FROM document t JOIN delivery d ON d.document_row = t.id
    WHERE t.complete = 0 AND d.state = 'delivered' GROUP BY t.id
"""
STAGED = "SELECT sender, message_id FROM stage"
STANDS = """
    SELECT count(*) FROM delivery
    WHERE message_id = ? AND to_node = ? AND state NOT IN ('void', 'held')
"""
TAKEN = """
    SELECT i.message_id, i.sender, s.state, max(s.step_order) AS step_order
    FROM step s JOIN incoming i ON i.id = s.incoming_id
    WHERE i.operation != 'revoke' GROUP BY i.id
"""
TOLD = """
    SELECT message_id, state, max(step_order) AS step_order
    FROM status_got WHERE message_id IS NOT NULL GROUP BY message_id
"""
DELIVERIES = """
    SELECT d.message_id, d.document_id, d.recipient, d.to_node, d.state, d.reason, d.message,
           e.data AS envelope, r.data AS receipt, r.leaf, r.proof, r.seal_id,
           b.message_id AS taken_back
    FROM delivery d LEFT JOIN revoked_delivery b ON b.message_id = d.message_id
    LEFT JOIN delivery_envelope e ON e.message_id = d.message_id AND e.rank = d.envelope_rank
    LEFT JOIN receipt_got r ON r.message_id = d.message_id AND r.rank = 0
"""
RECEIVED = """
    SELECT i.id, i.message_id, i.signer, i.sender, i.recipient, i.document_id, i.digest,
           i.envelope, i.inline, i.leaf, i.proof, i.seal_id, i.operation, b.subject, b.position,
           g.data AS receipt, g.leaf AS receipt_leaf, g.proof AS receipt_proof,
           g.seal_id AS receipt_seal, x.incoming_id AS destroyed, b.state
    FROM incoming i LEFT JOIN inbox b ON b.incoming_id = i.id
    LEFT JOIN destroyed x ON x.incoming_id = i.id
    LEFT JOIN receipt_given g ON g.incoming_id = i.id
    WHERE i.rank = 0
"""
SEQS = """
    SELECT s.agency, e.to_node, e.epoch, e.seq, e.message_id
    FROM delivery_envelope e JOIN seal s ON s.id = e.seal_id
"""


class Wire:
    """What was seen arriving."""

    def __init__(self) -> None:
        """Has seen nothing."""
        self._seen: set[tuple[str, str, str]] = set()
        self._last: dict[tuple[str, str, str, Lane], tuple[int, str]] = {}
        self.disorder: list[tuple[str, str, set[str]]] = []
        self.older: list[str] = []
        self._directories: dict[str, int] = {}
        self.came_to: dict[tuple[str, str], tuple[int, float]] = {}
        self.behind: set[tuple[str, str]] = set()

    def directory(self, node: str, version: int) -> None:
        """Notes the directory that comes into force at a node."""
        if version < self._directories.get(node, 0):
            self.older.append(f"I8: {node} took directory {version} after a newer one")
        self._directories[node] = max(version, self._directories.get(node, 0))

    def came(
        self, node: str, now: float, parcels: Sequence[Parcel], *, is_behind: bool = False
    ) -> None:
        """Notes by which oldest directory and clock a node has judged what comes.

        Args:
            is_behind: Its agency has ended, and its clock says that it has not.
        """
        for parcel in parcels:
            envelope = canonical.decode(parcel.envelope.statement, Envelope)
            by = self._directories.get(node, 0), now
            known = self.came_to.setdefault((node, envelope.message_id), by)
            oldest = min(by[0], known[0]), min(by[1], known[1])
            self.came_to[node, envelope.message_id] = oldest
            if is_behind:
                self.behind.add((node, envelope.message_id))

    def batch(self, sender: str, target: str, parcels: Sequence[Parcel]) -> None:
        """Judges the order of what is offered for the first time."""
        lane_before = Lane.HOA_TOC
        for parcel in parcels:
            envelope = canonical.decode(parcel.envelope.statement, Envelope)
            key = (sender, target, envelope.message_id)
            if key in self._seen:
                continue
            self._seen.add(key)
            lane = Lane.of(envelope.urgency)
            if lane < lane_before:
                text = f"order: {sender} sent {envelope.urgency} behind {lane_before.name}"
                self.disorder.append((sender, text, set()))
            lane_before = max(lane, lane_before)
            place = (sender, target, envelope.epoch, lane)
            last, of = self._last.get(place, (0, ""))
            if envelope.seq <= last:
                text = f"order: {sender} sent seq {envelope.seq} after {last}"
                self.disorder.append((sender, text, {envelope.message_id, of}))
            self._last[place] = max((envelope.seq, envelope.message_id), (last, of))


def told(parcels: Sequence[Parcel]) -> str:
    """A batch in a line of a trace."""
    words = []
    for parcel in parcels:
        envelope = canonical.decode(parcel.envelope.statement, Envelope)
        offer = "?" if parcel.offer else ""
        words.append(f"{envelope.message_id[-6:]}/{envelope.urgency}/{envelope.seq}{offer}")
    return " ".join(words)


def waiting(node: "SimulatedNode") -> list[str]:
    """What has not come to its end at a node."""
    driver = node.place.disk.driver
    found = [f"{node.name} {count} {state}" for state, count in driver.execute(WAITING)]
    unsealed = driver.execute(UNSEALED).fetchone()[0]
    effects = driver.execute("SELECT count(*) FROM effect WHERE seal_id IS NULL").fetchone()[0]
    pending = driver.execute(PENDING).fetchone()[0]
    if pending:
        found.append(f"{node.name} {pending} revocations not answered")
    if unsealed or effects:
        found.append(f"{node.name} {unsealed} receipts and {effects} effects unsealed")
    return found


def judge(world: "World") -> list[str]:
    """All that does not hold now that everything is quiet."""
    return list(_Judge(world).all())


class _Judge:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._directory = world.realm.first
        self._reformed = world.realm.directory(len(world.realm.versions) - 1).mark.version
        self._ends = world.ends
        self._network = world.realm.nation.network
        self._now = world.nodes[0].place.clock()
        self._nodes = {node.code: node for node in world.nodes}
        self._bent = world.restored.keys() | world.copied
        self._seals = {code: _seals(node) for code, node in self._nodes.items()}
        self._received = {code: _rows(node, RECEIVED) for code, node in self._nodes.items()}
        self._deliveries = {code: _rows(node, DELIVERIES) for code, node in self._nodes.items()}
        self._opened: dict[SignedSeal, Any] = {}

    def all(self) -> Iterator[str]:
        yield from self._order()
        yield from self._world.wire.older
        for request in self._world.requests:
            yield from self._request(request)
        for node in self._world.nodes:
            yield from self._inbox(node)
            yield from self._journal(node)
            yield from self._accusations(node)
            yield from self._rest(node)
            yield from node.unexpected
        yield from self._outboxes()
        yield from self._sides()
        yield from self._places()
        yield from self._seqs()

    def _order(self) -> Iterator[str]:
        """A copy, and whoever was restored, knows not of all that was offered before it.

        What is sent on to another node goes before what is younger, under the number of today.
        """
        for sender, text, messages in self._world.wire.disorder:
            code = sender.partition("-")[0]  # its copy is called G03-COPY
            if code not in self._bent and not messages & self._sent_on(code):
                yield text

    def _sent_on(self, code: str) -> set[str]:
        rows = self._nodes[code].place.disk.driver.execute(SENT_ON).fetchall()
        return {str(UUID(bytes=message_id)) for (message_id,) in rows}

    # --- I1, I2

    def _request(self, request: "Request") -> Iterator[str]:
        if request.refused:
            return  # its office was told to whom it goes instead
        if request.acknowledged_at is None:
            yield f"I7: {request.request_id} was never acknowledged"
            return
        restored = self._world.restored.get(request.sender)
        at_risk = restored is not None and request.acknowledged_at >= restored
        known = {bytes(row["message_id"]): row for row in self._deliveries[request.sender]}
        for message_id, code in zip(request.message_ids, request.recipients, strict=True):
            homes = self._ends.homes(self._owner(code))
            found = [
                (home, row)
                for home in homes
                for row in self._received[home]
                if bytes(row["message_id"]) == message_id and row["position"] is not None
            ]
            here = [row for _, row in found]
            row = known.get(message_id)
            silent = all(self._is_silent(home) for home, _ in found)
            if at_risk and row is None and (silent or self._is_silent(request.sender)):
                continue  # the only disk that had it was put back, or nobody gives it back any more
            here = [item for home, item in found if not self._is_behind(home, message_id)] or here
            if request.taken_back:
                for home in homes:
                    yield from self._gone(request, message_id, home)
                continue
            if self._is_told(request.sender, code, row):
                if here and not self._may_have_come(request.sender, row["message"], found):
                    yield f"I1: {request.request_id} is held and has arrived: {row['message']}"
            elif here or not any(map(self._was_forgotten, homes)):
                yield from self._delivery(request, message_id, row, here)

    def _is_silent(self, home: str) -> bool:
        """Whether a node is not heard any more at the end of a run: it can give nothing back."""
        return self._ends.is_wound_up_by(home, self._world.time())

    def _was_forgotten(self, home: str) -> bool:
        """Whether a node came back from a backup when nobody heard it any more."""
        away = max(self._nodes[home].away_until, self._world.came_back.get(home, 0.0))
        return home in self._bent and self._ends.is_wound_up_by(home, away)

    def _may_have_come(self, sender: str, message: str, found: list[tuple[str, Any]]) -> bool:
        """Whether what is held says that it may have come, or only a copy of its node knows that.

        The copy gave it to the node itself, as the successor of its recipient; nobody asks himself.
        """
        is_of_copy = sender in self._world.copied and {home for home, _ in found} == {sender}
        return is_of_copy or any(words in message for words in MAY_HAVE)

    def _is_past_giving_back(self, sender: str, row: Any) -> bool:
        """Whether a restore lost a document at its recipient, and nobody can give it back.

        The seal of its receipt is in the lost tail; and its sender's node has no seal that the
        recipient made since: one of both was not there until nobody heard the sender any more.
        It may have one that others gave back, if it was off before the recipient was there again.
        """
        if row["receipt"] is None:
            return False
        lost = canonical.decode(self._seals[sender][row["seal_id"]].data, Seal)
        if lost.signer not in self._world.restored:
            return False
        own = {seal.data for seal in self._seals[lost.signer].values()}
        kept = [
            canonical.decode(seal.data, Seal)
            for seal in self._seals[sender].values()
            if seal.data in own
        ]
        places = [(seal.epoch, seal.index) for seal in kept if seal.signer == lost.signer]
        node, came_back = self._nodes[sender], self._world.came_back.get(lost.signer, 0.0)
        was_off = 0 < node.away_from <= came_back
        if not was_off and any(place >= (lost.epoch, lost.index) for place in places):
            return False
        return self._ends.is_wound_up_by(sender, max(node.away_until, came_back))

    def _is_behind(self, home: str, message_id: bytes) -> bool:
        """Whether a replay met a node whose clock was put back to before the end of its agency."""
        return (home, str(UUID(bytes=message_id))) in self._world.wire.behind

    def _is_doubt(self, sender: str, message_id: bytes) -> bool:
        """Whether the sender has written down that a node which fell silent may have it too."""
        text = str(UUID(bytes=message_id)).encode()
        rows = self._nodes[sender].place.disk.driver.execute("SELECT data FROM effect").fetchall()
        return any(text in data and b"may have it too" in data for (data,) in rows)

    def _is_told(self, sender: str, code: str, row: Any) -> bool:
        """Whether the sender knows that a document goes nowhere, since an agency has ended."""
        ends = self._ends
        if row is None or (row["state"], row["reason"]) != ("held", AgencyEndedError.reason):
            return False
        return ends.has_ended(sender) or ends.leads_nowhere(self._owner(code))

    # --- I10

    def _gone(self, request: "Request", message_id: bytes, owner: str) -> Iterator[str]:
        """Nothing of what was taken back can be read, whether it came before or after that."""
        if request.sender in self._bent or self._is_order_held(request):
            return  # the order itself may be lost with the disk
        if self._is_lost(request, owner):
            return
        what = f"{request.request_id} ({message_id.hex()[-6:]})"
        for row in self._received[owner]:
            if bytes(row["message_id"]) != message_id or row["sender"] != request.sender:
                continue
            if row["destroyed"] is None or row["inline"] or row["subject"]:
                yield f"I10: {what} was taken back and can still be read at {owner}"
            if row["position"] is not None and row["state"] != "revoked":
                yield f"I10: {what} was taken back and is {row['state']} at {owner}"

    def _is_order_held(self, request: "Request") -> bool:
        """Whether the order was not sealed in time before the end of its agency, and says so."""
        return any(
            row["reason"] == AgencyEndedError.reason and row["document_id"] == request.document_id
            for row in self._deliveries[request.sender]
            if row["message_id"] not in request.message_ids
        )

    def _is_lost(self, request: "Request", home: str) -> bool:
        """Whether the sender says that a copy cannot be reached, as its node is not heard."""
        values = (request.document_id, home)
        rows = self._nodes[request.sender].place.disk.driver.execute(ORDERS_TO, values).fetchall()
        if rows:
            return all(reason == NOT_REACHED for (reason,) in rows)
        return self._ends.is_wound_up_by(home, self._ordered(request))

    def _ordered(self, request: "Request") -> float:
        """When a document was taken back, in seconds from the beginning."""
        driver = self._nodes[request.sender].place.disk.driver
        ((at,),) = driver.execute(ORDERED_AT, (request.document_id,)).fetchall()
        return at / 1000 - START.timestamp() if at else 0.0

    def _sides(self) -> Iterator[str]:
        """Both sides of a document agree on where it stands."""
        for code, node in self._nodes.items():
            if code in self._bent or self._ends.has_ended(code):
                continue
            told = {bytes(row["message_id"]): row["state"] for row in _rows(node, TOLD)}
            mine = {bytes(row["message_id"]): row["to_node"] for row in self._deliveries[code]}
            for other, peer in self._nodes.items():
                if other in self._bent or self._ends.has_ended(other):
                    continue
                for row in _rows(peer, TAKEN):
                    message_id = bytes(row["message_id"])
                    if mine.get(message_id) == other and told.get(message_id) != row["state"]:
                        yield (
                            f"I10: {message_id.hex()[-6:]} is {row['state']} at {other}; its "
                            f"sender {code} was told {told.get(message_id)}"
                        )

    def _delivery(
        self, request: "Request", message_id: bytes, row: Any, here: list[Any]
    ) -> Iterator[str]:
        what = f"{request.request_id} ({message_id.hex()[-6:]})"
        if len(here) > 1 and self._is_doubt(request.sender, message_id):
            here = here[:1]
        if row is None:
            yield f"I1: {what} was acknowledged and its sender knows nothing of it"
            return
        if row["state"] != "delivered":
            lost_parts = row["reason"] == "PARTS_LOST" and request.sender in self._bent
            if not lost_parts:
                yield f"I1: {what} ended {row['state']} {row['reason']}"
        if len(here) != 1 and (here or not self._is_past_giving_back(request.sender, row)):
            yield f"I1, I2: {what} is {len(here)} times in the inbox"
        for found in here:
            envelope = canonical.decode(found["envelope"], Envelope)
            digests = tuple(bytes.fromhex(part.sha256) for part in envelope.parts[1:])
            if digests != request.digests:
                yield f"I1: {what} has other contents"

    def _inbox(self, node: "SimulatedNode") -> Iterator[str]:
        rows = [row for row in self._received[node.code] if row["position"] is not None]
        subjects = Counter(
            (row["sender"], row["recipient"], row["subject"])
            for row in rows
            if row["destroyed"] is None
        )
        for (sender, _, subject), count in subjects.items():
            if count > 1 and sender.partition(".")[0] not in self._bent:
                yield f"I2: {subject!r} is {count} times in the inbox of {node.name}"
        for row in self._received[node.code]:
            yield from self._visible(node, row)

    # --- I3

    def _visible(self, node: "SimulatedNode", row: Any) -> Iterator[str]:
        what = f"{node.name} {bytes(row['message_id']).hex()[-6:]}"
        seals = self._seals[node.code]
        try:
            sealed = SealedStatement(
                row["envelope"], row["leaf"], unpack_proof(row["proof"]), seals[row["seal_id"]]
            )
            self._verify(sealed)
            envelope = canonical.decode(row["envelope"], Envelope)
            yield from self._late(node, envelope, sealed.seal)
            if sha256(row["envelope"]).digest() != row["digest"]:
                yield f"I3: {what} has another digest than its envelope"
            if row["receipt"] is None:
                yield f"I3, I4: {what} has no receipt"
                return
            receipt = SealedStatement(
                row["receipt"],
                row["receipt_leaf"],
                unpack_proof(row["receipt_proof"]),
                seals[row["receipt_seal"]],
            )
            if self._verify(receipt) != node.code:
                yield f"I3: the receipt of {what} is sealed by another"
        except EdocError as error:
            yield f"I3: {what} does not verify: {error.message}"
            return
        yield from self._parts(node, envelope, row, what)

    def _late(self, node: "SimulatedNode", envelope: Envelope, signed: SignedSeal) -> Iterator[str]:
        """What an agency seals after its end is new to nobody who knows of the end."""
        seal = self._opened[signed].seal
        came = self._world.wire.came_to.get((node.name, envelope.message_id))
        if came is None or came[0] < self._reformed or node.code in self._bent:
            return
        if envelope.operation is Operation.NEW and self._ends.has_ended_by(node.code, came[1]):
            yield f"I11: {node.name} took {envelope.message_id[-6:]} after its own end"
        is_late = self._ends.sealed_late(seal.signer, seconds(parse_time(seal.time)))
        if is_late and envelope.operation is not Operation.STATUS:
            yield f"I11: {node.name} took what {seal.signer} sealed at {seal.time}, after its end"

    def _parts(
        self, node: "SimulatedNode", envelope: Envelope, row: Any, what: str
    ) -> Iterator[str]:
        offset = 0
        for part in envelope.parts if row["destroyed"] is None else ():
            if part.size <= INLINE_PART_BYTES:
                content = row["inline"][offset : offset + part.size]
                offset += part.size
            else:
                content = node.place.disk.parts.stored.get(part.sha256, b"")
            if sha256(content).hexdigest() != part.sha256:
                yield f"I3: part {part.index} of {what} is not what was sealed"

    def _verify(self, sealed: SealedStatement) -> str:
        """Verifies a statement; returns who sealed it."""
        if sealed.seal not in self._opened:
            self._opened[sealed.seal] = open_seal(
                sealed.seal, self._directory, network=self._network, at=self._now
            )
        seal = self._opened[sealed.seal]
        check_membership(seal.seal, sealed.statement, sealed.leaf, sealed.proof)
        return str(seal.seal.signer)

    # --- I4

    def _outboxes(self) -> Iterator[str]:
        for code, rows in self._deliveries.items():
            for row in rows:
                if row["state"] in ("delivered", "rejected"):
                    yield from self._delivered(code, row)

    def _delivered(self, code: str, row: Any) -> Iterator[str]:
        what = f"{code} {bytes(row['message_id']).hex()[-6:]}"
        if row["receipt"] is None:
            yield f"I4: {what} is {row['state']} without a receipt"
            return
        if row["envelope"] is None:
            yield f"I4: the receipt of {what} is for an envelope that was never kept"
            return
        seal = self._seals[code][row["seal_id"]]
        try:
            signer = self._verify(
                SealedStatement(row["receipt"], row["leaf"], unpack_proof(row["proof"]), seal)
            )
        except EdocError as error:
            yield f"I4: the receipt of {what} does not verify: {error.message}"
            return
        receipt = canonical.decode(row["receipt"], Receipt)
        if receipt.envelope != sha256(row["envelope"]).hexdigest():
            yield f"I4: the receipt of {what} is for another envelope"
        theirs = [
            item
            for item in self._received[signer]
            if item["message_id"] == row["message_id"] and item["sender"] == receipt.to
        ]
        if not theirs and (self._was_forgotten(signer) or self._is_past_giving_back(code, row)):
            return
        if row["taken_back"] is not None and signer in self._bent and not theirs:
            return  # a restore lost it there, and what was taken back does not go out again
        if len(theirs) != 1:
            yield f"I4: {what} has a receipt, and its recipient has {len(theirs)} of it"
        elif signer not in self._bent and theirs[0]["receipt"] != row["receipt"]:
            yield f"I4: the receipt of {what} is not the one that its recipient stored"

    # --- I5

    def _journal(self, node: "SimulatedNode") -> Iterator[str]:
        with _reading(node) as connection:
            report = verify_journal(
                read_journal(connection, node.code),
                read_openings(connection, node.code),
                agency=node.code,
                network=self._network,
                keys=seal_keys(self._directory, node.code),
            )
        allowed = {JournalVerdict.SOUND}
        if node.code in self._bent:
            allowed.add(JournalVerdict.TAIL_LOST)
        if report.verdict not in allowed:
            found = "; ".join(f"{item.index} {item.why}" for item in report.findings[:3])
            yield f"I5: the journal of {node.name} is {report.verdict}: {found}"

    # --- I12

    def _accusations(self, node: "SimulatedNode") -> Iterator[str]:
        """No fault of disks, clocks and operators makes another journal: only a person does."""
        kinds = (JOURNAL_ALTERED, TWO_HISTORIES)
        for subject, message in node.place.disk.driver.execute(ACCUSED, kinds).fetchall():
            yield f"I12: {node.name} accuses {subject}: {message}"

    def _places(self) -> Iterator[str]:
        """No two seals for a place, and every seal that peers hold is in its maker's journal."""
        known: dict[tuple[str, str, int], bytes] = {}
        own = {code: {seal.data for seal in seals.values()} for code, seals in self._seals.items()}
        for holder, seals in self._seals.items():
            for signed in seals.values():
                seal = canonical.decode(signed.data, Seal)
                place = (seal.signer, seal.epoch, seal.index)
                if known.setdefault(place, signed.data) != signed.data:
                    yield f"I5: {seal.signer} sealed twice at {seal.index} of {seal.epoch[-6:]}"
                bent = seal.signer in self._bent
                if signed.data not in own[seal.signer] and not bent:
                    yield (
                        f"I5: {holder} holds seal {seal.index} of {seal.epoch[-6:]} that the "
                        f"journal of {seal.signer} has not"
                    )

    def _seqs(self) -> Iterator[str]:
        given: dict[tuple, bytes] = {}
        for node in self._world.nodes:
            rows = node.place.disk.driver.execute(SEQS).fetchall()
            for agency, to_node, epoch, seq, message_id in rows:
                if agency == node.code:
                    place = (agency, to_node, seq) + ((epoch,) if agency in self._bent else ())
                    if given.setdefault(place, message_id) != message_id:
                        yield f"seq: {agency} gave seq {seq} to {to_node} twice"
            for row in self._received[node.code]:
                envelope = canonical.decode(row["envelope"], Envelope)
                agency = row["signer"]  # a successor answers for the agency that it follows
                epoch = (uuid_bytes(envelope.epoch),) if agency in self._bent else ()
                place = (agency, envelope.to_node, envelope.seq, *epoch)
                if given.setdefault(place, row["message_id"]) != row["message_id"]:
                    yield f"seq: {node.name} got seq {envelope.seq} of {agency} twice"

    # --- I6, I8, I9

    def _rest(self, node: "SimulatedNode") -> Iterator[str]:
        ended = {  # of documents taken back on their way; the next sweep removes them
            f"{sender}-{message.lower()}"
            for sender, message in node.place.disk.driver.execute(ENDED)
        }
        growing = {
            key.rpartition("-")[0]: key
            for key in node.place.disk.parts.staging
            if not key.startswith("submit-")
        }
        wanted = {  # and those who have it may have wound up
            f"repair-{digest.hex()}"
            for (digest,) in node.place.disk.driver.execute("SELECT sha256 FROM damaged_part")
        }
        if self._ends.has_any():
            wanted |= self._missing(node)
            ended |= {of for of, key in growing.items() if key in wanted}
        left = [growing[of] for of in growing.keys() - ended - self._given_up(node)]
        if left:
            yield f"I6: {node.name} has {len(left)} growing parts left: {sorted(left)[:3]}"
        if node.life is None:
            yield f"I7: {node.name} is down"
            return
        if node.life.process.tasks > TASKS_AT_REST:
            yield f"I9: {node.name} has {node.life.process.tasks} tasks at rest"
        calls = Counter(
            f"{call.path} {call.server}"
            for call in self._world.network.calls()
            if call.client == node.place.address and "Directory" not in call.path
        )
        # A stream that was used within the last seconds, for a hello too, is still there.
        if len(calls) > len(self._nodes) or any(count > 1 for count in calls.values()):
            yield f"I9: {node.name} has open calls at rest: {dict(calls)}"

    def _missing(self, node: "SimulatedNode") -> set[str]:
        """Parts of its own documents that a restore lost, whose every recipient fell silent since.

        They are asked for as long as the document is kept; what came of them before stays.
        """
        rows = node.place.disk.driver.execute(MISSING).fetchall()
        return {
            f"repair-{part.sha256}"
            for parts, recipients in rows
            if all(map(self._is_silent, recipients.split(",")))
            for part in decode_parts(parts)
        }

    def _given_up(self, node: "SimulatedNode") -> set[str]:
        """Offers that their sender took back under way, or forgot with its lost tail.

        Nobody tells the recipient, whom their week ends for: growing parts of them may be there.
        """
        return {
            f"{sender}-{message.hex()}"
            for sender, message in node.place.disk.driver.execute(STAGED)
            if not self._stands(self._nodes[self._owner(sender)], message, node.code)
        }

    @staticmethod
    def _stands(sender: "SimulatedNode", message: bytes, to_node: str) -> int:
        return int(sender.place.disk.driver.execute(STANDS, (message, to_node)).fetchone()[0])

    @staticmethod
    def _owner(code: str) -> str:
        return code.partition(".")[0]


def _rows(node: "SimulatedNode", query: str) -> list[sqlite3.Row]:
    cursor = node.place.disk.driver.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(query).fetchall()


def _seals(node: "SimulatedNode") -> dict[int, SignedSeal]:
    rows = node.place.disk.driver.execute("SELECT id, data, signature FROM seal").fetchall()
    return {row[0]: SignedSeal(row[1], row[2]) for row in rows}


@contextmanager
def _reading(node: "SimulatedNode") -> Iterator[Any]:
    connection = node.place.disk.connection
    with connection.begin() as snapshot:
        yield connection
        snapshot.rollback()
