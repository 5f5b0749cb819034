"""Commands about edXML packages: edxml validate, import, export, watch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import ExitCode, RequestInvalidError
from edoccore.office_errors import EdxmlInvalidError
from edockit.console import new_app
from edockit.language import _, is_english, learn, told
from edocnode.cli.context import CommandContext, now, operating_system_user
from edocnode.cli.wording import plain

if TYPE_CHECKING:
    from edocnode.app.edxml_bridge import Bridge
    from edocnode.edxml.document_types import DocumentTypes
    from edocnode.edxml.model import Judged
    from edocnode.rpc.office_client import OfficeClient

VALIDATE_SCHEMA = "edoc.edxml-validate/v1"
EXPORT_SCHEMA = "edoc.edxml-export/v1"
Trust = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        exists=True,
        dir_okay=False,
        help="PEM file of authorities that XML signatures must lead to.",
    ),
]
Package = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The edXML package.")
]


def build_app() -> typer.Typer:
    """Puts the commands about edXML together."""
    app = new_app("Reads and writes edXML packages (QCVN 102:2016).")
    app.command("validate")(validate)
    app.command("import")(import_package)
    app.command("export")(export_package)
    app.command("watch")(watch)
    return app


def validate(context: typer.Context, file: Package, trust: Trust = None) -> int:
    """Judges a package: what it asks for, and what is wrong in which line.

    Needs no running node.
    """
    from edocnode.app.edxml_bridge import as_finding
    from edocnode.edxml.reading import scratch_folder
    from edocnode.edxml.signing import judge_file

    options: CommandContext = context.obj
    types = _types(options)
    with scratch_folder() as scratch:
        try:
            judged = judge_file(file, scratch, types=types, authorities=trust)
        except EdxmlInvalidError as error:
            found = {**_verdict(file, None), "findings": [as_finding(error)]}
        else:
            found = _verdict(file, judged)
    options.console.data(found, _verdict_text(found))
    return ExitCode.DONE.value if found["sound"] else ExitCode.REFUSED.value


def import_package(
    context: typer.Context,
    file: Package,
    sender: Annotated[
        str, typer.Option("--from", help="Code to send from; default: the package's own.")
    ] = "",
    trust: Trust = None,
) -> None:
    """Hands a package to the node: a document, a revocation, or a status message.

    Repeating it is safe: the same file is handed in once.
    """
    options: CommandContext = context.obj
    with options.office() as office:
        done = _bridge(options, office, trust=trust).hand_in(file, sender=sender)
    options.console.data(done, _imported_text(done))
    for warning in done["warnings"]:
        options.console.say(_("warning: {remark}", remark=plain(told(warning))))


def export_package(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters."),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="File to write; never overwritten.")],
    statuses: Annotated[
        bool, typer.Option("--statuses", help="Write its status messages beside it, too.")
    ] = False,
    sign_key: Annotated[
        Path | None,
        typer.Option("--sign-key", exists=True, help="PEM key that signs; default: the setting's."),
    ] = None,
    sign_certificate: Annotated[
        Path | None,
        typer.Option("--sign-certificate", exists=True, help="PEM certificate of that key."),
    ] = None,
) -> None:
    """Writes a received or sent document as a package."""
    from edocnode.app.edxml_files import write_new
    from edocnode.edxml.writing import write_status

    options: CommandContext = context.obj
    with options.office() as office:
        bridge = _bridge(options, office, key=sign_key, certificate=sign_certificate)
        exports = bridge.exports
        messages = exports.statuses(document) if statuses else []
        copy = exports.copy_of(document)
        size, digest = write_new(out, lambda write: exports.write_document(write, copy))
    paths = []
    for name, message in messages:
        path = out.with_name(f"{out.stem}.{name}-{message.code}.edxml")
        write_new(path, lambda write, message=message: write_status(write, message))  # type: ignore[misc]
        paths.append(str(path))
    options.console.data(
        {
            "schema": EXPORT_SCHEMA,
            "path": str(out),
            "size_bytes": size,
            "sha256": digest,
            "statuses": paths,
        },
        "\n".join([str(out), *paths]),
    )


def watch(
    context: typer.Context,
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Folder of out, in, done, failed; default: edxml_folder."),
    ] = None,
    agency: Annotated[
        list[str] | None,
        typer.Option("--agency", help="A folder for each of these codes; may be repeated."),
    ] = None,
    trust: Trust = None,
    once: Annotated[bool, typer.Option("--once", help="Do what there is, then end.")] = False,
) -> None:
    """Exchanges packages by folder, for software that only reads and writes files.

    Sends what lies in out, writes what arrives to in. Runs beside the node until SIGTERM or Ctrl-C.
    """
    import signal

    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app.edxml_folder import FolderBridge

    options: CommandContext = context.obj
    settings = options.settings()
    set_up_logs(LogFormat(settings.log_format), settings.log_level)
    place = folder or (Path(settings.edxml_folder) if settings.edxml_folder else None)
    if place is None:
        raise RequestInvalidError(
            "No folder for edXML files was named.", hint="Add --folder DIR, or set edxml_folder."
        )

    def tell(event: dict[str, Any]) -> None:
        options.console.data(event, _event_text(event))

    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    runner = FolderBridge(
        place,
        agencies=tuple(agency or settings.edxml_agencies),
        socket=options.office_socket,
        bridge=lambda office: _bridge(options, office, trust=trust),
        tell=tell,
    )
    try:
        runner.run(once=once)
    except KeyboardInterrupt:
        options.console.say(_("stopped"))


def _interrupt() -> None:
    raise KeyboardInterrupt


def _bridge(
    options: CommandContext,
    office: "OfficeClient",
    *,
    trust: Path | None = None,
    key: Path | None = None,
    certificate: Path | None = None,
) -> "Bridge":
    from edocnode.app.edxml_bridge import Bridge
    from edocnode.edxml.findings import translations

    learn(translations())
    settings = options.settings()
    key_file = key or (Path(settings.edxml_key) if settings.edxml_key else None)
    chosen = certificate or Path(settings.edxml_certificate or os.devnull)
    return Bridge(
        office=office,
        clock=now,
        actor=operating_system_user(),
        types=_types(options),
        authorities=trust or (Path(settings.edxml_trust) if settings.edxml_trust else None),
        key=_read(key_file) if key_file else b"",
        certificate=_read(chosen) if key_file else b"",
    )


def _types(options: CommandContext) -> "DocumentTypes":
    from edocnode.domain.codes import CodeList
    from edocnode.edxml.document_types import types_of

    return types_of(options.code_lists()[CodeList.TYPES])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be read: {error.strerror}.") from error


def _verdict(file: Path, judged: "Judged | None") -> dict[str, Any]:
    action = judged.action if judged else None
    return {
        "schema": VALIDATE_SCHEMA,
        "path": str(file),
        "sound": action is not None,
        "action": action.kind.value if action else "",
        "sender": action.sender if action else "",
        "recipients": list(action.recipients) if action else [],
        "document_code": action.document_code if action else "",
        "subject": str(action.fields.get("subject", "")) if action else "",
        "files": [
            {"name": each.name, "size_bytes": each.content.size, "zipped": each.content.zipped}
            for each in (action.attachments if action else ())
        ],
        "namespace": judged.namespace if judged else "",
        "signature": judged.signature if judged else "unchecked",
        "signer": judged.signer if judged else "",
        "findings": [
            {
                "code": each.code,
                "severity": each.severity.value,
                "line": each.line,
                "element": each.element,
                "en": each.english,
                "vi": each.vietnamese,
                "remedy_en": each.remedy_english,
                "remedy_vi": each.remedy_vietnamese,
            }
            for each in (judged.findings if judged else ())
        ],
    }


def _verdict_text(found: dict[str, Any]) -> str:
    lines = [_judgement(found)]
    if found["sound"]:
        pairs = [
            (_("from"), found["sender"]),
            (_("to"), ", ".join(found["recipients"])),
            (_("document"), found["document_code"]),
            (_("subject"), found["subject"]),
            (_("files"), ", ".join(each["name"] for each in found["files"])),
            (_("signature"), told(found["signature"])),
            (_("signer"), found["signer"]),
        ]
        lines += [f"  {name:<14}{plain(text)}" for name, text in pairs if text]
    language = "en" if is_english() else "vi"
    for each in found["findings"]:
        severity = _("error") if each["severity"] == "error" else _("warning")
        lines += [
            f"{severity} {each['code']}",
            f"  {plain(each[language])}",
            f"    → {plain(each[f'remedy_{language}'])}",
        ]
    return "\n".join(lines)


def _judgement(found: dict[str, Any]) -> str:
    """Whether a package can be handed in, and what it asks for."""
    path = found["path"]
    if not found["sound"]:
        return _("{path}: refused", path=path)
    return _("{path}: sound; it asks for: {kind}", path=path, kind=_asked(found["action"]))


def _imported_text(done: dict[str, Any]) -> str:
    """What a package asked for and was done."""
    action, code = _asked(done["action"]), plain(done["document_code"])
    lines = [f"{action}: {code}" if code else action]
    if "document_id" in done:
        lines.append(_("document {document_id}", document_id=done["document_id"]))
    return "\n".join(lines)


def _asked(action: str) -> str:
    """What a package asks for, in words."""
    words = {
        "new": _("new document"),
        "revoke": _("taking back"),
        "update": _("update"),
        "replace": _("replacement"),
        "status": _("status message"),
    }
    return words.get(action, action)


def _event_text(event: dict[str, Any]) -> str:
    """What the folder bridge did, in one line."""
    facts = {name: plain(str(value)) for name, value in event.items()}
    match event["event"]:
        case "waiting":
            return _("waiting for the node: {why}", why=told(facts["why"]))
        case "sent":
            what, code = _asked(event["action"]), facts["document_code"]
            return _("sent: {file} ({what} {code})", file=facts["file"], what=what, code=code)
        case "failed":
            return _("failed: {file}: {why}", file=facts["file"], why=told(facts["why"]))
        case "set_aside":
            return _("set aside: {file}: {why}; it is tried again", **facts)
        case "received":
            return _("received: {file}", file=facts["file"])
        case "status":
            return _("status: {file}", file=facts["file"])
        case _:
            return _("taken back: {file}", file=facts["file"])
