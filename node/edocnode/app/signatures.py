"""Joins what checks signatures: settings, the checking process, the loop that asks it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edockit.blobs import BlobFolder
from edocnode.domain.repair import Suspects
from edocnode.domain.signature_checks import SignatureChecks
from edocnode.domain.signatures import Reason
from edocnode.settings import NodeSettings
from edocnode.signatures.process import CheckingProcess, is_installed
from edocnode.signatures.trust_settings import StoreSettings, TrustSettings
from edocnode.workers.signature_checks import SignatureCheckLoop


@dataclass(frozen=True, slots=True)
class SignatureParts:
    """The loop, and the process that it asks."""

    loop: SignatureCheckLoop
    process: CheckingProcess

    async def stop(self) -> None:
        """Ends the process; the loop was ended by who runs it."""
        await self.process.close()


def build_signatures(
    store: SignatureChecks,
    blobs: BlobFolder,
    suspects: Suspects,
    settings: NodeSettings,
    *,
    data: Path,
    clock: Callable[[], datetime],
) -> SignatureParts:
    """Builds what checks signatures; starts nothing."""
    process = CheckingProcess(
        trust_settings(settings, data), largest_bytes=settings.largest_check_bytes
    )
    loop = SignatureCheckLoop(
        store=store,
        checker=process,
        path_of=blobs.path,
        suspects=suspects,
        impossible=_impossible(settings),
        clock=clock,
    )
    return SignatureParts(loop, process)


def trust_settings(settings: NodeSettings, data: Path) -> TrustSettings:
    """What a node trusts; folders that are relative lie in its data folder."""

    def place(name: str) -> str:
        return str(data / name) if name else ""

    return TrustSettings(
        stores=tuple(
            StoreSettings(name=each.name, folder=place(each.folder), kind=each.kind)
            for each in settings.trust_stores
        ),
        crl_folder=place(settings.crl_folder),
        signer_rules=place(settings.signer_rules),
        strict=settings.strict_revocation,
    )


def _impossible(settings: NodeSettings) -> Reason | None:
    """Why nothing can be checked here; None when it can."""
    if not settings.trust_stores:
        return Reason.NO_TRUST_STORE
    return None if is_installed() else Reason.NOT_INSTALLED
