"""Commands about proofs: evidence export, evidence verify, journal verify.

Verifying needs no running node: evidence is a file, and the journal of a stopped node is read from
its folder, whose lock is taken first.
"""

import asyncio
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, NodeNotRunningError, RequestInvalidError
from edoccore.signing.statements import uuid_text
from edockit.console import new_app
from edockit.language import _, told
from edocnode.cli import opening
from edocnode.cli.context import CommandContext, now
from edocnode.cli.saving import write_new
from edocnode.cli.wording import clock_or_text, plain
from edocnode.domain.evidence_formats import EvidenceFormat

if TYPE_CHECKING:
    from edocnode.domain.journal import JournalReport
    from edocnode.evidence.verdict import Verdict
    from edocnode.settings import NodeSettings
    from edocnode.storage.folder import DataFolder

EVIDENCE_SCHEMA = "edoc.evidence/v1"
VERDICT_SCHEMA = "edoc.verdict/v1"
JOURNAL_SCHEMA = "edoc.journal/v1"
SOUND = frozenset({"ok", "tail lost at restore"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


def build_evidence_app() -> typer.Typer:
    """Puts the commands about evidence together."""
    app = new_app("Exports and verifies evidence that anyone can check.")
    app.command("export")(export)
    app.command("verify")(verify)
    app.command("open")(opening.open_evidence)
    return app


def build_journal_app() -> typer.Typer:
    """Puts the commands about the journal together."""
    app = new_app("Checks the journal of this node's own seals.")
    app.callback()(_journal)
    app.command("verify")(verify_journal)
    return app


def _journal() -> None:
    """Checks the journal of this node's own seals."""  # makes `verify` a word of its own


def export(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters."),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write; never overwritten.")],
    to: Annotated[str, typer.Option("--to", help="Recipient, when it was sent to several.")] = "",
    container: Annotated[
        EvidenceFormat,
        typer.Option("--format", help="A plain zip, or ASiC-E for other signature programs."),
    ] = EvidenceFormat.ZIP,
) -> None:
    """Writes the evidence of one delivery as a file."""
    options: CommandContext = context.obj
    with options.admin() as node:
        chunks = node.export_evidence(document, to, container)
        first = next(chunks, b"")  # an error comes before the file is made
        size, digest = write_new(out, itertools.chain([first], chunks))
    options.console.data(
        {"schema": EVIDENCE_SCHEMA, "path": str(out), "size_bytes": size, "sha256": digest},
        str(out),
    )
    options.console.say(
        _("Check it anywhere: edocnode evidence verify {out} --root SHA256", out=out)
    )


def verify(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The evidence.")
    ],
    root: Annotated[
        str,
        typer.Option("--root", help="SHA-256 of the network's root file, from another source."),
    ] = "",
    tsa: Annotated[
        list[Path] | None,
        typer.Option(
            "--tsa",
            exists=True,
            dir_okay=False,
            help="Certificates of a timestamp authority that you trust, PEM or DER; repeatable.",
        ),
    ] = None,
) -> int:
    """Judges an evidence file without any network."""
    from edocnode.app.evidence import known_directory
    from edocnode.app.timestamps import read_certificates, time_anchors
    from edocnode.evidence.verify import verify as judge

    options: CommandContext = context.obj
    if root and not _SHA256.fullmatch(root):
        raise RequestInvalidError("--root is 64 digits and letters a-f.")
    known = None
    anchors = [found for each in tsa or () for found in read_certificates(each)]
    if options.data is not None and (not root or options.folder().is_joined()):
        known = known_directory(options.folder())
        anchors += time_anchors(options.settings(), options.folder().path)
    verdict = judge(file, root=root or None, now=now(), known=known, time_anchors=anchors)
    options.console.data(_verdict_object(verdict), _verdict_text(verdict))
    return verdict.exit_code.value


def verify_journal(context: typer.Context) -> int:
    """Checks every seal, signature and link of this node's own journal."""
    options: CommandContext = context.obj
    try:
        with options.admin() as node:
            found = node.verify_journal()
    except NodeNotRunningError:
        found = _stopped_journal(options)
    options.console.data(found, _journal_text(found))
    if found["verdict"] not in SOUND:
        return ExitCode.FAILED.value
    return ExitCode.DONE.value


def _stopped_journal(options: CommandContext) -> dict[str, Any]:
    """The same from the folder of a stopped node."""
    from edockit.files import lock_folder

    folder = options.folder()
    with lock_folder(folder.path):
        report = asyncio.run(_read_journal(folder, options.settings()))
    head = report.head
    names = ("verdict", "epochs", "seals", "lost", "statements", "effects")
    return {
        "schema": JOURNAL_SCHEMA,
        **{name: getattr(report, name) for name in names},
        "size": head.size if head else 0,
        "epoch": uuid_text(head.epoch) if head else "",
        "root": head.root.hex() if head else "",
        "findings": [
            {name: getattr(finding, name) for name in ("verdict", "epoch", "index", "why")}
            for finding in report.findings
        ],
    }


async def _read_journal(folder: "DataFolder", settings: "NodeSettings") -> "JournalReport":
    from edocnode.app.evidence import known_directory, verify_stored_journal
    from edocnode.storage.store import open_store

    identity = folder.identity()
    database = open_store(settings.database_url(folder.database_file))
    try:
        return await verify_stored_journal(
            database, known_directory(folder), agency=identity.agency, network=identity.network
        )
    finally:
        database.close()


def _journal_text(found: dict[str, Any]) -> str:
    lines = [
        _(
            "{seals} seals in {epochs} epochs, over {statements} statements and {effects} local "
            "effects",
            **{name: found[name] for name in ("seals", "epochs", "statements", "effects")},
        )
    ]
    if found["epoch"]:
        head = {name: found[name] for name in ("epoch", "size", "root")}
        lines.append(_("head: epoch {epoch}, size {size}, root {root}", **head))
    if found["lost"]:
        lines.append(_("{lost} seals lie in a tail that was lost at a restore", lost=found["lost"]))
    lines += [
        _(
            "{verdict}: epoch {epoch}, seal {index}: {why}",
            verdict=told(item["verdict"]),
            epoch=item["epoch"],
            index=item["index"],
            why=told(item["why"]),
        )
        for item in found["findings"]
    ]
    verdict = _("journal: {verdict}", verdict=told(found["verdict"]))
    return "\n".join([verdict, *(f"  {line}" for line in lines)])


def _verdict_object(verdict: "Verdict") -> dict[str, Any]:
    return {
        "schema": VERDICT_SCHEMA,
        "verdict": verdict.kind.value,
        "findings": [
            {"step": item.number, "member": item.member, "why": item.why}
            for item in verdict.findings
        ],
        "notes": list(verdict.notes),
        "root_sha256": verdict.fingerprint,
        "made_by": verdict.made_by,
        "made_at": verdict.made_at,
        "facts": verdict.facts,
    }


def _verdict_text(verdict: "Verdict") -> str:
    lines = [
        _(
            "step {number}{member}: {why}",
            number=item.number,
            member=f", {plain(item.member)}" if item.member else "",
            why=plain(told(item.why)),
        )
        for item in verdict.findings
    ]
    lines += [_fact(name, plain(text)) for name, text in verdict.facts.items()]
    lines += [_("note: {note}", note=plain(told(note))) for note in verdict.notes]
    if verdict.made_by:
        made = {"made_by": plain(verdict.made_by), "made_at": clock_or_text(verdict.made_at)}
        lines.append(_("file made by {made_by} at {made_at}", **made))
    if verdict.fingerprint:
        lines.append(_("root {fingerprint}", fingerprint=verdict.fingerprint))
    head = _("verdict: {verdict}", verdict=told(verdict.kind.value))
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _fact(name: str, text: str) -> str:
    """One thing that a person wants to know first, after what it is."""
    labels = {
        "message_id": _("message id"),
        "sender": _("sender"),
        "recipient": _("recipient"),
        "sealed_by": _("sealed by"),
        "sealed_at": _("sealed at"),
        "result": _("result"),
        "received_at": _("received at"),
        "reason": _("reason"),
        "proven_at": _("existed at the latest at"),
        "proven_by": _("as shown by"),
        "receipt_proven_at": _("receipt existed at the latest at"),
        "receipt_proven_by": _("as shown by"),
        "given_up_at": _("given up at"),
        "given_up_sealed_at": _("giving up sealed at"),
    }
    if name == "result":
        text = told(text)
    elif name.endswith("_at"):
        text = clock_or_text(text)
    return f"{labels.get(name, name)}: {text}"
