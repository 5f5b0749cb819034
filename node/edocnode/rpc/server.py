"""Puts the services for peers on a server."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import grpc

from edoccore.directory.view import Directory
from edocnet.directory.v1 import directory_service_pb2_grpc as directory_services
from edocnet.exchange.v1 import exchange_service_pb2_grpc as exchange_services
from edocnet.exchange.v1 import journal_service_pb2_grpc as journals
from edocnode.domain.directory import Borrow
from edocnode.domain.exchange import ReceivingService
from edocnode.rpc.consistency import JournalServicer, Proves
from edocnode.rpc.directory import DirectoryServicer, MirroredLog
from edocnode.rpc.exchange import ExchangeServicer
from edocnode.rpc.lending import LendingServicer


@dataclass(frozen=True, slots=True)
class Mutual:
    """What nodes do to watch over the registry and each other.

    Attributes:
        borrow: Takes a newer directory from a peer that calls.
        prover: Proves that the own journal only grows.
        log: What is here of the log of published directories.
    """

    borrow: Borrow
    prover: Proves
    log: MirroredLog


def register_exchange(
    server: grpc.aio.Server,
    service: ReceivingService,
    directory: Callable[[], Directory],
    mutual: Mutual,
    *,
    patience: timedelta,
) -> ExchangeServicer:
    """Offers documents' exchange and the mirrored directory to other nodes.

    Args:
        mutual: What nodes do to watch over each other.
        patience: With a caller that says nothing, or trickles.
    """
    exchange = ExchangeServicer(service, patience)
    exchange_services.add_ExchangeServiceServicer_to_server(exchange, server)
    files = DirectoryServicer(directory, mutual.log)
    directory_services.add_DirectoryServiceServicer_to_server(files, server)
    directory_services.add_LendingServiceServicer_to_server(LendingServicer(mutual.borrow), server)
    journals.add_JournalServiceServicer_to_server(JournalServicer(mutual.prover), server)
    return exchange
