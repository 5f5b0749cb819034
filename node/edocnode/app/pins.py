"""Whose connections are taken: all TLS pins of the directory but those of agencies shut out."""

from collections.abc import Callable, Collection
from datetime import datetime

import structlog

from edoccore.directory.view import Directory
from edockit.grpc_tls import TlsMaterial, TlsProvider
from edocnode.storage.folder import TlsPair

log = structlog.get_logger(__name__)


class Pins:
    """Keeps the server's trust store in step with the directory and with who is shut out."""

    def __init__(
        self, pair: Callable[[], TlsPair], directory: Directory, clock: Callable[[], datetime]
    ) -> None:
        """Takes the own TLS pair in force and the directory in force.

        Raises:
            KeyUnusableError: See ``TlsProvider``.
        """
        self._pair = pair
        self._clock = clock
        self._directory = directory
        self._agencies: Collection[str] = ()
        self.tls = TlsProvider(self._material())

    def publish(self, directory: Directory) -> None:
        """Takes a newer directory."""
        self._directory = directory
        for refused in self.tls.publish(self._material()):
            log.error("pin.left_out", sha256=refused)
        self.shut_out(self._agencies)  # whose certificate may be another one now

    def renew(self) -> None:
        """Shows the own certificate in force from the next handshake on."""
        self.publish(self._directory)

    def shut_out(self, agencies: Collection[str]) -> None:
        """Takes no more connections of these agencies, and those of all others."""
        self._agencies = agencies
        pins = self._directory.tls_pins(self._clock()) if agencies else []
        self.tls.shut_out([pin.sha256 for pin in pins if pin.agency in agencies])

    def _material(self) -> TlsMaterial:
        pair = self._pair()
        pins = [pin.certificate for pin in self._directory.tls_pins(self._clock())]
        return TlsMaterial(pair.chain, pair.key, pins, self._directory.mark.version)
