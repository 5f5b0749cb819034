"""Proofs about journals over the wire."""

from collections.abc import Sequence
from typing import Protocol

import grpc

from edoccore.errors import JournalBrokenError
from edoccore.signing.merkle import HASH_BYTES, MAX_PROOF_HASHES
from edocnet.exchange.v1 import journal_service_pb2 as messages
from edocnet.exchange.v1 import journal_service_pb2_grpc as services
from edocnode.domain.consistency import JournalProof


class Proves(Protocol):
    """Proves that the own journal only grows; see ``workers.consistency.JournalProver``."""

    async def prove(self, epoch: bytes, first: int, second: int) -> JournalProof:
        """The proof between two sizes of an epoch."""


class JournalServicer(services.JournalServiceServicer):
    """Proves to peers that this node's journal only grows."""

    def __init__(self, prover: Proves) -> None:
        """Takes who proves it."""
        self._prover = prover

    async def GetConsistency(
        self,
        request: messages.GetConsistencyRequest,
        context: grpc.aio.ServicerContext[
            messages.GetConsistencyRequest, messages.GetConsistencyResponse
        ],
    ) -> messages.GetConsistencyResponse:
        """Proves that the journal of one size begins with that of another."""
        proof = await self._prover.prove(request.epoch, request.first, request.second)
        return messages.GetConsistencyResponse(
            consistency=b"".join(proof.consistency), inclusion=b"".join(proof.inclusion)
        )


async def ask_consistency(
    channel: grpc.aio.Channel, epoch: bytes, first: int, second: int, *, timeout_s: float
) -> JournalProof:
    """Asks a peer for the proof between two sizes of an epoch of its journal.

    Raises:
        grpc.RpcError: As the peer says.
        JournalBrokenError: The answer has not the form of proofs.
    """
    request = messages.GetConsistencyRequest(epoch=epoch, first=first, second=second)
    stub = services.JournalServiceStub(channel)
    answer = await stub.GetConsistency(request, timeout=timeout_s)
    return JournalProof(
        consistency=_hashes(answer.consistency), inclusion=_hashes(answer.inclusion)
    )


def _hashes(joined: bytes) -> tuple[bytes, ...]:
    if len(joined) % HASH_BYTES or len(joined) > MAX_PROOF_HASHES * HASH_BYTES:
        raise JournalBrokenError("The peer answered with something else than a proof.")
    starts: Sequence[int] = range(0, len(joined), HASH_BYTES)
    return tuple(joined[start : start + HASH_BYTES] for start in starts)
