"""Tells the registry under this agency's own seal: next key, end of keys, sub-agencies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import grpc

from edoccore.directory.view import Directory
from edoccore.errors import RegistryUnreachableError
from edoccore.signing.seal import SealedStatement
from edoccore.wire.sealed import sealed_to_message
from edoccore.wire.status import raise_for_other
from edocnet.enrolment.v1 import enrolment_service_pb2 as messages
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc as services
from edocnode.domain.seal_life import Renewed
from edocnode.rpc.directory import open_channel
from edocnode.rpc.joining import ENROL_TIMEOUT_S, registry_endpoint


async def renew_seal(directory: Directory, sealed: SealedStatement, *, now: datetime) -> Renewed:
    """Has the registry issue the certificate of the next seal key.

    Args:
        directory: In force; tells where the registry is.
        sealed: An ``edoc.renewal/v1`` under the current seal.
        now: For the validity of the registry's certificates.

    Raises:
        RegistryUnreachableError: The registry does not answer.
        RequestInvalidError, SealCertificateError: It refuses; says why.
    """
    request = messages.RenewSealRequest(renewal=sealed_to_message(sealed))
    async with _registry(directory, now) as stub:
        answer = await stub.RenewSeal(request, timeout=ENROL_TIMEOUT_S)
    return Renewed([answer.certificate, *answer.chain], answer.waits_for_officers)


async def end_keys(directory: Directory, sealed: SealedStatement, *, now: datetime) -> int:
    """Has the registry publish that keys of this agency have ended.

    Args:
        directory: In force; tells where the registry is.
        sealed: An ``edoc.keyend/v1`` under the current seal.
        now: For the validity of the registry's certificates.

    Returns:
        Version of the directory in which the revocations stand.

    Raises:
        RegistryUnreachableError: The registry does not answer.
        RequestInvalidError, SealCertificateError: It refuses; says why.
    """
    request = messages.RevokeKeysRequest(end=sealed_to_message(sealed))
    async with _registry(directory, now) as stub:
        answer = await stub.RevokeKeys(request, timeout=ENROL_TIMEOUT_S)
    return answer.directory_version


async def publish_subagencies(
    directory: Directory, sealed: SealedStatement, *, now: datetime
) -> int:
    """Has the registry publish which sub-agencies this agency lists.

    Args:
        directory: In force; tells where the registry is.
        sealed: An ``edoc.subagencies/v1`` under the current seal.
        now: For the validity of the registry's certificates.

    Returns:
        Version of the directory in which the list stands.

    Raises:
        RegistryUnreachableError: The registry does not answer.
        SubagencyRefusedError, SealCertificateError: It refuses; says why.
    """
    request = messages.PublishSubagenciesRequest(subagencies=sealed_to_message(sealed))
    async with _registry(directory, now) as stub:
        answer = await stub.PublishSubagencies(request, timeout=ENROL_TIMEOUT_S)
    return answer.directory_version


@asynccontextmanager
async def _registry(
    directory: Directory, now: datetime
) -> AsyncIterator["services.EnrolmentServiceAsyncStub"]:
    async with open_channel(registry_endpoint(directory, now)) as channel:
        try:
            yield services.EnrolmentServiceStub(channel)
        except grpc.aio.AioRpcError as error:
            raise raise_for_other(error, unreachable=RegistryUnreachableError) from error
