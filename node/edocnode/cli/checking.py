"""Commands about signatures in documents: signatures check, signatures recheck."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _
from edocnode.cli.context import CommandContext, now

if TYPE_CHECKING:
    from edocnode.domain.signatures import DocumentVerdict, PartToCheck
    from edocnode.signatures.trust_settings import TrustSettings

CHECK_SCHEMA = "edoc.signatures/v1"


def build_app() -> typer.Typer:
    """The commands under ``signatures``."""
    app = typer.Typer(help="Checks signatures in files and documents.", no_args_is_help=True)
    app.command()(check)
    app.command()(recheck)
    return app


def check(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="PDF or XML files.")],
    *,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", help="Folder of trusted roots, instead of the node's own."),
    ] = None,
    crl: Annotated[
        Path | None, typer.Option("--crl", help="Folder of revocation lists, with --trust.")
    ] = None,
) -> None:
    """Checks the signatures in files, as if they were one document.

    The first PDF is the document, every other an attachment. Needs no running node. Exits with 0
    when it replaces paper, else with 4.
    """
    import asyncio

    from edockit.logs import set_up_logs

    set_up_logs(level="WARNING")  # what was found is told below
    options: CommandContext = context.obj
    settings, largest = _trusted(options, trust or (), crl)
    parts = [_part(index, path) for index, path in enumerate(files, start=1)]
    verdict = asyncio.run(_checked(parts, settings, largest))
    data = _as_json(verdict)
    options.console.data(data, _text(data))
    if data["legal_status"] != "replaces_paper":
        raise typer.Exit(4)


def recheck(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All documents here.")] = False,
) -> None:
    """Lets signatures be checked again, after trust stores or revocation lists changed.

    The running node does it beside its work; urgent documents first.
    """
    if bool(document) == every:
        raise RequestInvalidError("Name either a document or --all.", hint="See: edocnode inbox")
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.recheck(document, every=every)
    options.console.data(found, _("To be checked again: {checks}.", checks=found["checks"]))


def _trusted(
    options: CommandContext, trust: Sequence[Path], crl: Path | None
) -> "tuple[TrustSettings, int]":
    """What is trusted: named folders, or what the node trusts; and the largest file."""
    from edocnode.app.signatures import trust_settings
    from edocnode.settings import NodeSettings
    from edocnode.signatures.trust_settings import StoreSettings, TrustSettings

    if not trust:
        settings = options.settings()
        data = options.folder().path
        return trust_settings(settings, data), settings.largest_check_bytes
    stores = tuple(StoreSettings(name=each.name, folder=str(each.absolute())) for each in trust)
    lists = "" if crl is None else str(crl.absolute())
    usual = NodeSettings.model_validate({"listen": "127.0.0.1:0"})
    return TrustSettings(stores=stores, crl_folder=lists), usual.largest_check_bytes


async def _checked(
    parts: "Sequence[PartToCheck]", settings: "TrustSettings", largest: int
) -> "DocumentVerdict":
    from edocnode.domain.signatures import judge_document
    from edocnode.signatures.process import CheckingProcess

    process = CheckingProcess(settings, largest_bytes=largest)
    try:
        return judge_document([await process.check(part) for part in parts], now())
    finally:
        await process.close()


def _part(index: int, path: Path) -> "PartToCheck":
    from hashlib import file_digest

    from edocnode.domain.media_types import media_type_of
    from edocnode.domain.signatures import PartToCheck, kind_to_check

    kind = kind_to_check(path.name, media_type_of(path.name))
    if not kind:
        raise RequestInvalidError(
            f"{path} is neither PDF nor XML, so no signature in it can be checked.",
            hint="Name files that end in .pdf or .xml.",
        )
    try:
        with path.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise RequestInvalidError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its name and who owns it."
        ) from error
    return PartToCheck(
        index=index,
        name=path.name,
        kind=kind,
        size=size,
        sha256=sha256,
        known_at=now(),
        path=str(path.absolute()),
    )


def _as_json(verdict: "DocumentVerdict") -> dict[str, Any]:
    from edocnode.domain.signature_checks import SignatureCheck
    from edocnode.domain.signatures import CheckState
    from edocnode.rpc.signature_client import signatures_json
    from edocnode.rpc.signature_messages import signatures_to_message

    check = SignatureCheck(state=CheckState.DONE, verdict=verdict)
    return {"schema": CHECK_SCHEMA, **signatures_json(signatures_to_message(check))}


def _text(data: dict[str, Any]) -> str:
    from edocnode.cli.signature_words import legal_line, signature_lines

    return "\n".join([legal_line(data), *signature_lines(data)])
