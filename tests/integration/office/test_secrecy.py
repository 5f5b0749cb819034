"""Nothing of a document that is declared secret is kept, whichever way it is handed in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edoccore.errors import RequestInvalidError, StateSecretError
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused
from tests.support.nodes import TestNode

LARGE = 200 * 1024  # a part of its own file
SECRETS = [office.SECRECY_MAT, office.SECRECY_TOI_MAT, office.SECRECY_TUYET_MAT]


def header(secrecy: int, request_id: str = "r-1") -> office.SubmitHeader:
    made = office.SubmitHeader(
        request_id=request_id,
        recipients=["G01"],
        record_size=15,
        parts=[office.PartDeclaration(name="1.pdf", size=LARGE)],
    )
    made.secrecy = secrecy
    return made


async def requests(secrecy: int) -> AsyncIterator[office.SubmitRequest]:
    yield office.SubmitRequest(header=header(secrecy))
    yield office.SubmitRequest(chunk=b'{"subject":"a"}' + bytes(LARGE))


def left(node: TestNode) -> tuple[int, int, list[Path]]:
    """Rows and files of documents."""
    rows = node.count("SELECT count(*) FROM document"), node.count("SELECT count(*) FROM delivery")
    return *rows, [path for path in (node.data / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("secrecy", SECRETS)
async def test_secret_document_leaves_no_row_and_no_file(alone: TestNode, secrecy: int) -> None:
    async with alone.office() as stub:
        with Refused(StateSecretError):
            await stub.Submit(requests(secrecy))
    assert left(alone) == (0, 0, [])


async def test_document_declared_open_is_kept_as_a_check_of_the_test(alone: TestNode) -> None:
    async with alone.office() as stub:
        await stub.Submit(requests(office.SECRECY_NONE))
    rows, deliveries, files = left(alone)
    assert (rows, deliveries, len(files)) == (1, 1, 1)


async def test_secrecy_from_a_newer_program_is_not_taken_for_none(alone: TestNode) -> None:
    async with alone.office() as stub:
        with Refused(RequestInvalidError):
            await stub.Submit(requests(77))
    assert left(alone) == (0, 0, [])


async def test_secret_document_among_many_is_refused_alone(alone: TestNode) -> None:
    content = b'{"subject":"a"}' + bytes(LARGE)
    wholes = [
        office.WholeSubmission(header=header(secrecy, f"r-{number}"), content=content)
        for number, secrecy in enumerate([office.SECRECY_NONE, *SECRETS, 77])
    ]
    async with alone.office() as stub:
        (answer,) = [
            item
            async for item in stub.SubmitMany(iter([office.SubmitManyRequest(submissions=wholes)]))
        ]
    kept, *refused = answer.answers
    assert kept.kept.deliveries
    assert [item.refused.reason for item in refused] == ["STATE_SECRET"] * 3 + ["REQUEST_INVALID"]
    rows, deliveries, files = left(alone)
    assert (rows, deliveries, len(files)) == (1, 1, 1)
