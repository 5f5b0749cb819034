"""Fixtures of the plumbing's integration tests."""

from tests.support.disks import small_disk

__all__ = ["small_disk"]
