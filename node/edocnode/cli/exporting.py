"""The command that hands documents over: export, one as a zip file or all of a period in a folder.

A zip file holds the record as it was sealed, the files, where the document stands, its main fields
as text, and how to get its evidence. Everything is streamed, so memory depends on no size. What was
destroyed here is named instead of being there.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import (
    DataFolderError,
    DocumentRevokedError,
    DocumentUnknownError,
    FileExistsHereError,
    PartDigestError,
    RequestInvalidError,
)
from edockit.language import _, told
from edocnode.cli.access import moment_of
from edocnode.cli.context import CommandContext, now
from edocnode.cli.saving import Target, choose_targets
from edocnode.cli.wording import clock, day

if TYPE_CHECKING:
    from edocnode.rpc.office_client import OfficeClient

EXPORT_SCHEMA = "edoc.export/v1"
DOCUMENT_SCHEMA = "edoc.exported_document/v1"
PERIOD_SCHEMA = "edoc.export_period/v1"
PAGE = 200  # documents asked for at once
SUMS = "SHA256SUMS"
MANIFEST = "manifest.jsonl"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """A zip file that was written.

    Attributes:
        missing: Names of what is no longer here.
    """

    path: Path
    size: int
    sha256: str
    missing: tuple[str, ...]


def export(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Zip file or, for a period, folder to make.")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", help="First day or moment of a period, Viet Nam time.")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", help="Day or moment at which it ends, itself not included.")
    ] = "",
    agency: Annotated[str, typer.Option("--agency", help="Only of this agency.")] = "",
) -> None:
    """Writes a document, or all of a period, with files, fields and states.

    With --since and --until: a zip file for each document received or handed in then, and
    SHA256SUMS, which sha256sum -c checks.
    """
    options: CommandContext = context.obj
    period = (moment_of(since), moment_of(until))
    if out is None or bool(document) == (None not in period) or (document and any(period)):
        raise RequestInvalidError(
            "Name either a document or, with --since and --until, a period; and --out.",
            hint="edocnode export ID --out FILE.zip, or export --since DAY --until DAY --out DIR",
        )
    with options.office(purpose="export") as office:
        if document:
            _export_one(options, office, document, out)
        elif period[0] is not None and period[1] is not None:
            _export_period(options, office, (period[0], period[1]), agency=agency, out=out)


def _export_one(options: CommandContext, office: "OfficeClient", text: str, out: Path) -> None:
    found = office.document(text)
    made = write_zip(office, found, out)
    result = {
        "schema": EXPORT_SCHEMA,
        "document_id": _document_id(found),
        "path": str(made.path),
        "size_bytes": made.size,
        "sha256": made.sha256,
        "missing": list(made.missing),
    }
    options.console.data(result, str(made.path))
    if made.missing:
        missing = ", ".join(made.missing)
        options.console.say(
            _("Not in it, because it was destroyed here: {missing}", missing=missing)
        )


def _export_period(
    options: CommandContext,
    office: "OfficeClient",
    period: tuple[datetime, datetime],
    *,
    agency: str,
    out: Path,
) -> None:
    _make_folder(out)
    count = 0
    with _new_file(out / SUMS) as sums, _new_file(out / MANIFEST) as manifest:
        for document_id in documents_of(office, period, agency):
            path = out / f"{document_id}.zip"
            if path.exists():  # received and handed in here: it is all in the one file
                continue
            made = write_zip(office, office.document(document_id), path)
            sums.write(f"{made.sha256}  {path.name}\n".encode())
            line = {
                "document_id": document_id,
                "path": path.name,
                "size_bytes": made.size,
                "sha256": made.sha256,
                "missing": list(made.missing),
            }
            manifest.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            count += 1
        for file in (sums, manifest):
            file.flush()
            os.fsync(file.fileno())
    result = {
        "schema": PERIOD_SCHEMA,
        "path": str(out),
        "documents": count,
        "sha256": sha256((out / SUMS).read_bytes()).hexdigest(),
    }
    text = _(
        "{count} documents in {path}. SHA-256 of SHA256SUMS: {digest}",
        count=count,
        path=out,
        digest=result["sha256"],
    )
    options.console.data(result, text)


def documents_of(
    office: "OfficeClient", period: tuple[datetime, datetime], agency: str
) -> Iterator[str]:
    """Ids of the documents received or handed in within a period, newest first.

    Args:
        period: Its beginning, and its end, which is not in it.
        agency: Only received for, or sent from, this one; empty: all.
    """
    for pages, moment in ((office.inbox, "received_at"), (office.outbox, "created_at")):
        for item in _listed(pages, agency):
            at = datetime.fromisoformat(item[moment])
            if at < period[0]:
                break  # all that follow are older
            if at < period[1]:
                yield item["document_id"]


def write_zip(office: "OfficeClient", found: Json, path: Path) -> Exported:
    """Writes a document as a zip file that is not there yet.

    Raises:
        FileExistsHereError: Something of that name is there.
        PartDigestError: A part has other bytes than were sealed; the file is not kept.
    """
    file = _new_file(path)
    try:
        with file:
            writer = _Zip(file)
            missing = _fill(writer, office, found)
            writer.close()
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    size, digest = _measured(path)
    return Exported(path, size, digest, missing)


class _Zip:
    """A zip file with the digests of its members."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._made = now().timetuple()[:6]
        self._sums: list[str] = []

    def add(self, name: str, pieces: Iterable[bytes]) -> str:
        """Writes a member; returns its digest."""
        digest = sha256()
        info = zipfile.ZipInfo(name, self._made)
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as member:
            for piece in pieces:
                digest.update(piece)
                member.write(piece)
        self._sums.append(f"{digest.hexdigest()}  {name}\n")
        return digest.hexdigest()

    def close(self) -> None:
        """Ends the file with the digests of all before."""
        self.add(SUMS, ["".join(self._sums).encode()])
        self._zip.close()


def _fill(writer: _Zip, office: "OfficeClient", found: Json) -> tuple[str, ...]:
    """Writes all members; returns the names of what is no longer here."""
    document_id = _document_id(found)
    shown = found["received"][0] if found["received"] else found["sent"]
    if found["sent"] is not None:
        found["sent"]["deliveries"] = office.deliveries(document_id)["deliveries"]
    missing: list[str] = []
    for name, index, digest in _members(shown["parts"]):
        pieces = office.part(document_id, index, encrypted=digest is None)
        try:
            first = next(pieces, b"")
        except (
            DocumentUnknownError,
            DocumentRevokedError,
        ):  # the document is here, what it held was destroyed
            missing.append(name)
            continue
        written = writer.add(name, _joined(first, pieces))
        if digest and written != digest:
            raise PartDigestError(
                f"The bytes of {name} are not those that were sealed.",
                hint="Nothing was kept of it; run it again, then tell the operator.",
                name=name,
            )
    stated = {**found, "schema": DOCUMENT_SCHEMA, "missing": missing}
    writer.add("document.json", [json.dumps(stated, ensure_ascii=False, indent=1).encode()])
    writer.add("document.txt", [_text(found, shown, missing).encode()])
    return tuple(missing)


def _members(parts: Iterable[Json]) -> Iterator[tuple[str, int, str | None]]:
    """Name, index and sealed digest of the record and of each file.

    The digest is empty for the record; None for a file that is kept encrypted, whose content goes
    into the zip.
    """
    yield "record.json", 0, ""
    targets: list[Target] = choose_targets(parts)
    for target in targets:
        digest = None if target.encrypted else target.sha256
        yield f"files/{target.name}", target.index, digest


def _text(found: Json, shown: Json, missing: list[str]) -> str:
    """What a person reads first."""
    rows = [
        (_("Document"), shown["document_id"]),
        (_("Subject"), shown["subject"]),
        (_("Number and notation"), "/".join(filter(None, (shown["number"], shown["notation"])))),
        (_("Type"), shown["type"]),
        (_("Day of issue"), day(shown["issued_date"])),
        (_("Official identifier"), shown["document_code"]),
        (_("Sender"), shown["sender"]),
        (_("Due"), day(shown["due_date"])),
        (_("Destroyed here"), ", ".join(missing)),
    ]
    sent = found["sent"]["deliveries"] if found["sent"] else []
    for label, since, items in (
        (_("Received by"), "received_at", found["received"]),
        (_("Sent to"), "since", sent),
    ):
        for item in items:
            rows.append((label, f"{item['recipient']} {told(item['state'])} {clock(item[since])}"))
            command = f"edocnode evidence export {item['message_id']} --out FILE.zip"
            rows.append((_("Evidence"), command))
    return "".join(f"{label}: {value}\n" for label, value in rows if value)


def _listed(pages: Callable[..., Json], agency: str) -> Iterator[Json]:
    after = ""
    while True:
        page = pages(agency=agency, state="", limit=PAGE, after=after)
        yield from page["documents"]
        after = page["next"]
        if not after:
            return


def _document_id(found: Json) -> str:
    shown = found["received"][0] if found["received"] else found["sent"]
    document_id: str = shown["document_id"]
    return document_id


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _measured(path: Path) -> tuple[int, str]:
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _new_file(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, _NEW, 0o666), "wb")
    except FileExistsError as error:
        raise FileExistsHereError(
            f"{path} is already there and is not overwritten.",
            hint="Choose another name for --out.",
            path=str(path),
        ) from error
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be written: {error.strerror}.") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_empty = not any(path.iterdir())
    except OSError as error:
        raise DataFolderError(
            f"The folder {path} cannot be used: {error.strerror}.",
            hint="Choose a folder that you may write to.",
            path=str(path),
        ) from error
    if not is_empty:
        raise FileExistsHereError(
            f"The folder {path} is not empty.", hint="Name a new one.", path=str(path)
        )
