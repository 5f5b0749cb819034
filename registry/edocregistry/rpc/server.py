"""Puts the services of the registry on one TLS server.

Callers prove nothing by TLS: files prove themselves, a token or a seal proves the rest. So no
client certificate is asked for, and a node that is new or whose certificate ended can still come.
"""

from typing import Protocol

import grpc

from edockit import grpc_server
from edocnet.directory.v1 import directory_service_pb2_grpc
from edocnet.enrolment.v1 import enrolment_service_pb2_grpc
from edocregistry.rpc.directory import (
    Cosignatures,
    DirectoryServicer,
    GivenBack,
    PublishedFiles,
    PublishedLog,
    WitnessServicer,
)
from edocregistry.rpc.enrolment import Enrolments, EnrolmentServicer


class Log(PublishedLog, Cosignatures, Protocol):
    """The log of published versions."""


def registry_server(
    registry: Enrolments, files: PublishedFiles, log: Log, returned: GivenBack, *, network: str
) -> grpc.aio.Server:
    """Makes the server, on a running loop; ``edockit.grpc_server.bind`` gives it an address."""
    server = grpc_server.registry_server()
    directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(
        DirectoryServicer(files, log), server
    )
    directory_service_pb2_grpc.add_WitnessServiceServicer_to_server(
        WitnessServicer(log, returned), server
    )
    enrolment_service_pb2_grpc.add_EnrolmentServiceServicer_to_server(
        EnrolmentServicer(registry, network), server
    )
    return server
