"""Networks of processes for all acceptance tests."""

from tests.support.network import joined_network, network, stopped_network

__all__ = ["joined_network", "network", "stopped_network"]
