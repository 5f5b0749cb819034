"""Fixtures of the plumbing's integration tests."""

from tests.support.disks import small_disk
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url", "small_disk"]
