"""Fills the outbox of a stopped node through the node's own rules and storage port."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from edoccore.directory.view import Directory
from edoccore.signing.statements import Urgency
from edocnode.domain.model import DocumentId, MessageId, Submission
from edocnode.domain.office import (
    Admitted,
    DeclaredPart,
    SubmitHeader,
    admit,
    build_record,
    build_submission,
    new_id,
)
from edocnode.storage.store import NodeStore, open_store

FIELDS = '{"subject":"Về việc đo tốc độ trao đổi văn bản"}'.encode()
AT_ONCE = 1000  # submissions that share a commit
PART_NAME = "Văn bản.bin"


def fill(
    url: str,
    directory: Directory,
    *,
    sender: str,
    recipient: str,
    count: int,
    size: int,
    urgency: Urgency = Urgency.NORMAL,
) -> None:
    """Hands in documents of one part; they wait for the sealer when the node starts.

    Args:
        url: Database of the sender, which does not run.
        size: Bytes of the part, different in every document.
    """
    admitted = admit(_header(recipient, size, urgency), directory, sender, now=datetime.now(UTC))
    asyncio.run(_fill(url, admitted, directory.network, count))


def _header(recipient: str, size: int, urgency: Urgency) -> SubmitHeader:
    return SubmitHeader(
        request_id="filled",
        sender="",
        recipients=(recipient,),
        urgency=urgency,
        record_size=len(FIELDS),
        parts=(DeclaredPart(name=PART_NAME, media_type="", size=size),),
        lifetime=None,
    )


async def _fill(url: str, admitted: Admitted, network: str, count: int) -> None:
    database = open_store(url)
    try:
        store = NodeStore(database)
        for start in range(0, count, AT_ONCE):
            made = [_submission(admitted, network) for _ in range(min(AT_ONCE, count - start))]
            await store.submit_many(made)
    finally:
        database.close()


def _submission(admitted: Admitted, network: str) -> Submission:
    document_id = DocumentId(new_id(datetime.now(UTC), os.urandom(10)))
    message_id = MessageId(new_id(datetime.now(UTC), os.urandom(10)))
    record = build_record(admitted, FIELDS, network=network, document_id=document_id)
    content = os.urandom(admitted.parts[0].size)
    made = build_submission(
        admitted,
        record,
        [sha256(content).digest()],
        fields_digest=sha256(FIELDS).digest(),
        document_id=document_id,
        message_ids=[message_id],
        inline=record.data + content,
    )
    return replace(made, request_id=message_id.hex())
