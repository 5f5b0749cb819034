"""Puts the services for peers on a server."""

from collections.abc import Callable
from datetime import timedelta

import grpc

from edoccore.directory.view import Directory
from edocnet.directory.v1 import directory_service_pb2_grpc as directory_services
from edocnet.exchange.v1 import exchange_service_pb2_grpc as exchange_services
from edocnode.domain.directory import Borrow
from edocnode.domain.exchange import ReceivingService
from edocnode.rpc.directory import DirectoryServicer
from edocnode.rpc.exchange import ExchangeServicer
from edocnode.rpc.lending import LendingServicer


def register_exchange(
    server: grpc.aio.Server,
    service: ReceivingService,
    directory: Callable[[], Directory],
    borrow: Borrow,
    *,
    patience: timedelta,
) -> ExchangeServicer:
    """Offers documents' exchange and the mirrored directory to other nodes.

    Args:
        borrow: Takes a newer directory from a peer that calls.
        patience: With a caller that says nothing, or trickles.
    """
    exchange = ExchangeServicer(service, patience)
    exchange_services.add_ExchangeServiceServicer_to_server(exchange, server)
    directory_services.add_DirectoryServiceServicer_to_server(DirectoryServicer(directory), server)
    directory_services.add_LendingServiceServicer_to_server(LendingServicer(borrow), server)
    return exchange
