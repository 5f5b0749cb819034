"""Runs the registry: binds, publishes what is due, answers until it is told to stop."""

from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue

import structlog

from edoccore.errors import EdocError
from edockit import certificates, files, grpc_server
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from edocregistry.app.registry import Registry
from edocregistry.rpc.server import registry_server
from edocregistry.workers import resigning

STOP_GRACE_SECONDS = 5.0  # for calls under way; the whole end takes less than ten

_log = structlog.get_logger(__name__)


class Serving:
    """A running registry."""

    def __init__(self, registry: Registry, *, interval: timedelta = resigning.INTERVAL) -> None:
        """Prepares; ``run`` does the rest.

        Args:
            registry: What to serve.
            interval: Between two looks at what is due.
        """
        self._registry = registry
        self._interval = interval
        self._stop: SimpleQueue[None] = SimpleQueue()  # safe to use in a signal handler
        self._failure: EdocError | None = None
        self._shown = b""  # certificate, PEM

    def stop(self) -> None:
        """Asks ``run`` to end; may be called from a signal handler."""
        self._stop.put(None)

    def run(self, announce: Callable[[str], None]) -> None:
        """Serves until ``stop``.

        Args:
            announce: Called once with host:port when the server answers.

        Raises:
            FolderInUseError: Another server runs on the folder.
            AddressInUseError, SettingsError: The address cannot be bound.
            EdocError: The first publication failed, or the disk did later.
        """
        folder, settings = self._registry.folder, self._registry.settings
        with files.lock_folder(folder.path):
            self._publish()
            self._registry.keep_own_entry()
            material = self._material()
            self._shown = material.chain
            tls = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
            log = self._registry.publisher.log
            server = registry_server(self._registry, folder.directory, log, settings.network)
            port = grpc_server.bind(server, settings.listen, tls)
            worker = resigning.ResigningWorker(
                (self._publish, lambda: self._keep_own_entry(tls)),
                on_failure=self._fail,
                interval=self._interval,
            )
            server.start()
            try:
                announce(f"{settings.listen.rpartition(':')[0]}:{port}")
                worker.start()
                self._stop.get()
            finally:
                server.stop(STOP_GRACE_SECONDS).wait(STOP_GRACE_SECONDS + 1)
                worker.stop()
        if self._failure is not None:
            raise self._failure

    def _material(self) -> TlsMaterial:
        current = self._registry.tls_certificates()[0]
        key = self._registry.folder.keys.tls_key(current)
        return TlsMaterial(certificates.certificate_pem(current), key)

    def _publish(self) -> None:
        publication = self._registry.publish_due()
        if publication.signed:
            _log.info("published", version=publication.version, signed=len(publication.signed))

    def _keep_own_entry(self, tls: TlsProvider) -> None:
        """Follows changes of the own keys, by this process or by a command."""
        self._registry.keep_own_entry()
        material = self._material()
        if material.chain != self._shown:
            tls.publish(material)
            self._shown = material.chain
            _log.info("tls_certificate_changed")

    def _fail(self, error: EdocError) -> None:
        self._failure = error
        self._stop.put(None)
