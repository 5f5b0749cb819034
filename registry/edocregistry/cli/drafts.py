"""Commands of officers: draft what waits for them, sign it offline, take it in."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _, told
from edocregistry.cli.context import CommandContext, now, operating_system_user
from edocregistry.cli.officer_keys import PinFile

if TYPE_CHECKING:
    from tuf.api.metadata import Key

    from edocregistry.app.officers import Drafted
    from edocregistry.domain.differences import Change
    from edocregistry.domain.drafting import Draft, Signing
    from edocregistry.domain.publication import Publication

DRAFT_SCHEMA = "edoc.registry-drafted/v1"
SIGN_SCHEMA = "edoc.registry-signed/v1"
PUBLISH_SCHEMA = "edoc.registry-publish/v1"

PublicKeys = list[Path] | None


def draft(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option("--out", help="File to write; it goes to the officers.")],
    officer: Annotated[
        PublicKeys,
        typer.Option("--officer", help="Public key file of an officer; all who hold the root."),
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", help="How many of the officers must sign a root.")
    ] = None,
    identity: Annotated[
        PublicKeys,
        typer.Option("--identity", help="Public key file for who exists; all who hold one."),
    ] = None,
    identity_threshold: Annotated[
        int | None,
        typer.Option("--identity-threshold", help="How many of those must sign who exists."),
    ] = None,
    auto_publish: Annotated[
        bool,
        typer.Option("--auto-publish", help="Let this machine say who exists, with a new key."),
    ] = False,
    new_online_key: Annotated[
        bool, typer.Option("--new-online-key", help="Replace the key that signs online.")
    ] = False,
    new_root: Annotated[
        bool, typer.Option("--new-root", help="Make the next root though no key changes.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Also what need not be signed anew yet.")
    ] = False,
) -> None:
    """Drafts what waits for the officers, and changes of their keys, for them to sign."""
    from edocregistry.app.officers import DraftOrder, make_draft
    from edocregistry.domain.rotation import RootChange

    if identity and auto_publish:
        raise RequestInvalidError(
            "Either officers say who exists or this machine does.",
            hint="Leave out --identity or --auto-publish.",
        )
    options: CommandContext = context.obj
    change = RootChange(
        officers=_public_keys(officer),
        threshold=threshold,
        identity=_public_keys(identity),
        identity_threshold=identity_threshold,
        renew=new_root,
    )
    order = DraftOrder(
        change=change, auto_publish=auto_publish, new_online_key=new_online_key, renew=renew
    )
    made = make_draft(options.registry(), order, actor=operating_system_user(), now=now())
    if made is not None:
        tell_drafted(options, out, made)
        return
    options.console.data(
        {"schema": DRAFT_SCHEMA, "file": None, "changes": [], "signatures": []},
        _("Nothing waits for the officers; no draft was made."),
    )


def write_draft(out: Path, made: "Drafted") -> None:
    """Writes a draft to its file; it is no secret."""
    _write(out, made.data)


def tell_drafted(options: CommandContext, out: Path, made: "Drafted") -> None:
    """Writes a draft to its file and says who does what with it."""
    write_draft(out, made)
    options.console.data(
        {
            "schema": DRAFT_SCHEMA,
            "file": str(out),
            "changes": _change_objects(made.changes),
            "signatures": [_signing_object(item) for item in made.signings],
        },
        "\n".join([told(change.text) for change in made.changes]),
    )
    options.console.say(
        _(
            "Written to {file}. Each officer runs, on a machine without a network:\n"
            "  edocregistry sign {file} --key KEYFILE\n"
            "Then here: edocregistry publish {file}",
            file=out,
        )
    )


def sign(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The draft.")],
    key: Annotated[list[Path], typer.Option("--key", help="Key file; may be repeated.")],
    root: Annotated[
        str | None,
        typer.Option("--root", help="SHA-256 of a root of the network, from a source you trust."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", help="Private file with the passphrase of the keys."),
    ] = None,
    pin_file: PinFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking; needs --root.")] = False,
) -> None:
    """Signs a draft, offline: shows what it changes and asks before it signs."""
    from edocregistry.app.officers import read_drafts
    from edocregistry.app.signing import check_root, open_keys, signed_file
    from edocregistry.cli.passphrases import passphrase_of, pin_of
    from edocregistry.domain.differences import changes_of
    from edocregistry.domain.drafting import sign_draft, signings

    options: CommandContext = context.obj
    if yes and root is None:
        raise RequestInvalidError(
            "Nobody would compare the fingerprint of the root.",
            hint="Add --root SHA256, or leave out --yes.",
        )
    opened = read_drafts([_read(file)], now())
    check_root(opened, root)
    signings(opened)  # refuses what was altered after somebody signed
    changes = changes_of(opened)
    _show(options, opened, changes, known=root is not None)
    if not yes and not _agreed():
        raise RequestInvalidError("Nothing was signed.", hint="Answer yes to sign.")
    passphrase = passphrase_of(passphrase_file)
    with open_keys(key, passphrase, pin_of(pin_file)) as signers:
        done = sign_draft(opened, signers)
    _write(file, signed_file(opened))
    after = signings(opened)
    options.console.data(
        {
            "schema": SIGN_SCHEMA,
            "file": str(file),
            "keys": sorted(done),
            "signatures": [_signing_object(item) for item in after],
        },
        "\n".join(_signing_text(item) for item in after),
    )


def publish(
    context: typer.Context,
    file: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Signed draft, or the copies of one draft."),
    ] = None,
) -> None:
    """Publishes what is due, or a draft that the officers have signed; else does nothing."""
    from edocregistry.app.officers import publish_draft, read_drafts

    options: CommandContext = context.obj
    registry, actor = options.registry(), operating_system_user()
    if not file:
        _tell_published(options, registry.publish(actor))
        tell_waiting(options)
        return
    opened = read_drafts([_read(path) for path in file], now())
    taken = publish_draft(registry, opened, actor=actor, now=now())
    known = {"version": taken.version, "already": taken.already}
    text = (
        _("the draft was published before, as directory version {version}", **known)
        if taken.already
        else _("directory version {version}: the draft is published", **known)
    )
    options.console.data({"schema": PUBLISH_SCHEMA, **known, "signed": [], "awaiting": []}, text)
    tell_waiting(options)


def tell_waiting(options: CommandContext) -> None:
    """Says on stderr what the directory does not say yet because officers have to sign it."""
    waiting = options.registry().waiting()
    if not waiting:
        return
    lines = [f"  {told(change.text)}" for change in waiting]
    options.console.say(
        "\n".join([_("Waiting for the officers (edocregistry draft --out FILE):"), *lines])
    )


def _tell_published(options: CommandContext, publication: "Publication") -> None:
    signed, awaiting = publication.signed, ", ".join(publication.awaiting)
    lines = [
        _(
            "directory version {version}: signed {count} roles",
            version=publication.version,
            count=len(signed),
        )
        if signed
        else _("directory version {version}: nothing was due", version=publication.version)
    ]
    if awaiting:
        lines.append(_("waiting for the officers: {awaiting}", awaiting=awaiting))
    options.console.data(
        {
            "schema": PUBLISH_SCHEMA,
            "version": publication.version,
            "already": False,
            "signed": publication.signed,
            "awaiting": publication.awaiting,
        },
        "\n".join(lines),
    )


def _show(
    options: CommandContext, draft: "Draft", changes: "Sequence[Change]", *, known: bool
) -> None:
    from edockit.console import local_time_text
    from edocregistry.app.officers import fingerprints
    from edocregistry.app.signing import signed_at

    first, newest = fingerprints(draft.before)
    lines = [
        _(
            "Draft of {made_at} for the network {network}, upon directory version {version} "
            "of {signed_at}.",
            made_at=draft.file.made_at,
            network=draft.before.network,
            version=draft.before.mark.version,
            signed_at=local_time_text(signed_at(draft)),
        ),
        _("First root:  {sha256}", sha256=first),
        _("Newest root: {sha256}", sha256=newest),
    ]
    if not known:
        lines.append(_("Compare a root with the fingerprint on paper before you sign."))
    lines.append(_("You are about to sign:"))
    lines += [f"  {told(change.text)}" for change in changes]
    options.console.say("\n".join(lines))


def _agreed() -> bool:
    print(_("Sign this? Type yes:"), end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "yes"


def _public_keys(paths: PublicKeys) -> "list[Key] | None":
    from edocregistry.storage.officer_keys import load_public

    return [load_public(path) for path in paths] if paths else None


def _read(path: Path) -> bytes:
    from edockit.files import disk_errors
    from edocregistry.domain.drafting import MAX_DRAFT_BYTES

    with disk_errors(path), path.open("rb") as file:
        return file.read(MAX_DRAFT_BYTES + 1)


def _write(path: Path, data: bytes) -> None:
    from edockit.files import write_file_atomic

    write_file_atomic(path, data, mode=0o644)


def _change_objects(changes: "Sequence[Change]") -> list[dict[str, str]]:
    return [{"agency": change.agency, "text": change.text} for change in changes]


def _signing_object(item: "Signing") -> dict[str, Any]:
    return {
        "role": item.what,
        "signed": list(item.signed),
        "needed": item.needed,
        "missing": item.missing,
    }


def _signing_text(item: "Signing") -> str:
    values = {"role": item.what, "signed": len(item.signed), "missing": item.missing}
    if item.missing:
        return _("{role}: {signed} have signed, {missing} more must", **values)
    return _("{role}: {signed} have signed, enough", **values)
