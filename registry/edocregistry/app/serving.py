"""Runs the registry: binds, publishes what is due, answers until it is told to stop."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue

import structlog

from edoccore.directory_errors import LogBehindError, LogUnconfirmedError
from edoccore.errors import EdocError
from edockit import certificates, files, grpc_server
from edockit.grpc_tls import ClientAuth, TlsMaterial, TlsProvider
from edocregistry.app.registry import Registry
from edocregistry.app.returning import Returned
from edocregistry.rpc.server import registry_server
from edocregistry.workers import resigning

LOG_PATIENCE = timedelta(seconds=90)  # a node notices within 75 that its registry is back
STOP_GRACE_SECONDS = 5.0  # for calls under way; the whole end takes less than ten

_log = structlog.get_logger(__name__)


class Serving:
    """A running registry."""

    def __init__(
        self,
        registry: Registry,
        *,
        interval: timedelta = resigning.INTERVAL,
        patience: timedelta = LOG_PATIENCE,
    ) -> None:
        """Prepares; ``run`` does the rest.

        Args:
            registry: What to serve.
            interval: Between two looks at what is due.
            patience: How long nodes have to show newer versions of a folder that was copied.
        """
        self._registry = registry
        self._patience = patience
        self._answers_since = time.monotonic()
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
        with files.lock_folder(self._registry.folder.path):
            self._publish_first()
            material = self._material()
            self._shown = material.chain
            tls = TlsProvider(material, client_auth=ClientAuth.NOT_REQUESTED)
            asyncio.run(self._answer(tls, announce))
        if self._failure is not None:
            raise self._failure

    async def _answer(self, tls: TlsProvider, announce: Callable[[str], None]) -> None:
        """Answers and signs anew until it is to stop."""
        folder, settings = self._registry.folder, self._registry.settings
        log = self._registry.publisher.log
        registry = self._registry
        returned = Returned(folder, log, directory=registry.directory, clock=registry.publisher.now)
        server = registry_server(
            self._registry, folder.directory, log, returned, network=settings.network
        )
        worker = resigning.ResigningWorker(
            (self._confirm, self._publish, lambda: self._keep_own_entry(tls)),
            on_failure=self._fail,
            interval=self._interval,
        )
        try:
            port = grpc_server.bind(server, settings.listen, tls)
            await server.start()
            self._answers_since = time.monotonic()
            announce(f"{settings.listen.rpartition(':')[0]}:{port}")
            worker.start()
            await asyncio.to_thread(self._stop.get)
        finally:
            await server.stop(STOP_GRACE_SECONDS)
            await asyncio.to_thread(worker.stop)

    def _material(self) -> TlsMaterial:
        current = self._registry.tls_certificates()[0]
        key = self._registry.folder.keys.tls_key(current)
        return TlsMaterial(certificates.certificate_pem(current), key)

    def _publish_first(self) -> None:
        """Publishes what is due, unless nodes may hold newer versions: they are answered first."""
        try:
            self._publish()
            self._registry.keep_own_entry()
        except (LogBehindError, LogUnconfirmedError) as error:
            _log.warning("nothing_published", reason=error.reason, message=error.message)

    def _confirm(self) -> None:
        """Takes the log for the newest, when agencies showed for a while that they hold no more."""
        log, waited = self._registry.publisher.log, time.monotonic() - self._answers_since
        if self._registry.folder.log.is_in_place() or waited < self._patience.total_seconds():
            return
        if log.was_heard or len(self._registry.directory().identities) == 1:  # itself
            log.confirm()
            _log.warning("log_confirmed", waited_s=round(waited))

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
