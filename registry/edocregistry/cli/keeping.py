"""Commands against loss: backup, restore, rebuild."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edoccore.errors import FileExistsHereError
from edockit.language import _, told
from edocregistry.cli.context import CommandContext, now, operating_system_user

if TYPE_CHECKING:
    from edocregistry.app.backups import Restored
    from edocregistry.app.rebuilding import Rebuilt
    from edocregistry.storage.backup import Backup

BACKUP_SCHEMA = "edoc.registry-backed-up/v1"
RESTORE_SCHEMA = "edoc.registry-restored/v1"
REBUILD_SCHEMA = "edoc.registry-rebuilt/v1"

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Private file with the passphrase; else it is asked."),
]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Not encrypted: whoever has it has the keys.")
    ] = False,
) -> None:
    """Writes the whole registry to one file, encrypted; also while it runs."""
    from edockit.files import write_file_atomic
    from edocregistry.app.backups import backup as make
    from edocregistry.cli.passphrases import new_passphrase

    options: CommandContext = context.obj
    if file.exists():
        raise FileExistsHereError(
            f"{file} is there already.", hint="Choose another name.", path=str(file)
        )
    registry = options.registry()
    secret = None if no_passphrase else new_passphrase(passphrase_file, str(file))
    data = make(registry, secret, actor=operating_system_user(), now=now())
    write_file_atomic(file, data)
    options.console.data(
        {
            "schema": BACKUP_SCHEMA,
            "file": str(file),
            "size_bytes": len(data),
            "encrypted": not no_passphrase,
        },
        _("{file}: {size} bytes", file=file, size=len(data)),
    )
    if no_passphrase:
        options.console.say(
            _("It holds the private keys of the registry, not encrypted. Keep it like the machine.")
        )
    if registry.folder.keys.officer_files():
        options.console.say(_("The officers' root keys are not in it; they belong elsewhere."))


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    mirror: Annotated[
        Path | None,
        typer.Option("--mirror", help="Directory of a node, for what happened since; see rebuild."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Puts a backup into an empty data folder, and says what happened since it was made."""
    from edocregistry.app.backups import restore as put_back
    from edocregistry.app.mirrors import read_mirror

    options: CommandContext = context.obj
    opened = _opened(file, passphrase_file)
    restored = put_back(
        options.folder(),
        opened,
        None if mirror is None else read_mirror(mirror, opened.roots()),
        actor=operating_system_user(),
        clock=now,
    )
    options.console.data(
        {
            "schema": RESTORE_SCHEMA,
            "made_at": restored.header.made_at,
            "backed_up_version": restored.header.version,
            "version": restored.version,
            "taken_from_mirror": [change.text for change in restored.missing],
            "revocations_from_mirror": restored.revocations,
            "waiting": [change.text for change in restored.waiting],
            "needs_root": restored.needs_root,
        },
        _(
            "The registry of {network} is back as it was at {made_at}, published as directory "
            "version {version}.",
            network=restored.header.network,
            made_at=restored.header.made_at,
            version=restored.version,
        ),
    )
    options.console.say("\n".join(_told_restored(restored, with_mirror=mirror is not None)))


def rebuild(
    context: typer.Context,
    *,
    source: Annotated[
        Path,
        typer.Option("--from", help="File directory/bundle of any node, or a folder that has it."),
    ],
    root: Annotated[
        str, typer.Option("--root", help="SHA-256 of a root of the network, as on paper.")
    ],
    listen: Annotated[str, typer.Option("--listen", help="HOST:PORT to serve on.")],
    out: Annotated[Path, typer.Option("--out", help="Draft to write; it goes to the officers.")],
    advertise: Annotated[
        str | None,
        typer.Option(
            "--advertise", help="HOST:PORT by which nodes reach it; as before, if you can."
        ),
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option("--identity", help="Public key file for who exists; default: as before."),
    ] = None,
    identity_threshold: Annotated[
        int | None,
        typer.Option("--identity-threshold", help="How many of those must sign who exists."),
    ] = None,
    auto_publish: Annotated[
        bool,
        typer.Option("--auto-publish", help="Let this machine say who exists, with a new key."),
    ] = False,
) -> None:
    """Makes a lost registry anew from what any node mirrored, for the officers to sign."""
    from edocregistry.app.mirrors import read_mirror
    from edocregistry.app.officers import DraftOrder
    from edocregistry.app.rebuilding import rebuild as make_anew
    from edocregistry.domain.rotation import RootChange
    from edocregistry.settings import first_settings
    from edocregistry.storage.officer_keys import load_public

    options: CommandContext = context.obj
    found = read_mirror(source, [root.lower()])
    settings = first_settings(network=found.directory.network, listen=listen, advertise=advertise)
    change = RootChange(
        identity=[load_public(path) for path in identity] if identity else None,
        identity_threshold=identity_threshold,
    )
    order = DraftOrder(change=change, auto_publish=auto_publish, new_online_key=True)
    made = make_anew(
        options.folder(), settings, found, order, actor=operating_system_user(), clock=now
    )
    _tell_rebuilt(options, out, made)


def _tell_rebuilt(options: CommandContext, out: Path, made: "Rebuilt") -> None:
    from edocregistry.cli.drafts import write_draft

    write_draft(out, made.draft)
    options.console.data(
        {
            "schema": REBUILD_SCHEMA,
            "version": made.version,
            "agencies": made.agencies,
            "file": str(out),
            "changes": [change.text for change in made.draft.changes],
        },
        "\n".join(
            [
                _(
                    "{agencies} agencies are back, as directory version {version} said.",
                    agencies=made.agencies,
                    version=made.version,
                ),
                *(told(change.text) for change in made.draft.changes),
            ]
        ),
    )
    options.console.say(
        _(
            "Written to {file}. Have the officers sign it, then: edocregistry publish {file}, and: "
            "edocregistry serve. Lost are invites that were not used, suspended sub-agencies and "
            "the audit.",
            file=out,
        )
    )
    if made.first_root > 1:
        options.console.say(
            _(
                "The mirror begins with root {root}: fingerprints of earlier ones lead to nothing "
                "here any more. The mirror of a node that joined earlier has more roots.",
                root=made.first_root,
            )
        )


def _told_restored(restored: "Restored", *, with_mirror: bool) -> list[str]:
    if restored.needs_root:
        return [
            _(
                "Since the backup the officers replaced the online key, which is lost. Nothing is "
                "published before they sign: edocregistry draft --new-online-key --out FILE"
            )
        ]
    lines = [_("Lost are invites and the audit since then; invite again who has not joined.")]
    if with_mirror:
        lines += [
            _("taken from the mirror: {change}", change=told(item.text))
            for item in restored.missing
        ]
        lines.append(_("taken from the mirror: {count} revocations", count=restored.revocations))
    else:
        lines.append(
            _(
                "What happened since is missing too: agencies, keys, revocations, names. Nodes "
                "keep revocations, but lose agencies that joined since. To take it from a node, "
                "restore into an empty folder once more with --mirror."
            )
        )
    return lines + [_("waiting   {change}", change=told(item.text)) for item in restored.waiting]


def _opened(path: Path, passphrase_file: Path | None) -> "Backup":
    from edockit.files import disk_errors
    from edocregistry.cli.passphrases import read_passphrase
    from edocregistry.storage.backup import MAX_BACKUP_BYTES, decode_backup, read_header

    with disk_errors(path), path.open("rb") as file:
        data = file.read(MAX_BACKUP_BYTES + 1)
    needs = bool(read_header(data).salt)
    return decode_backup(data, read_passphrase(passphrase_file, str(path)) if needs else None)
