"""Commands about the files of the node's keys: keys list, protect, unprotect, import.

All but ``list`` on a stopped node.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import (
    DataFolderError,
    DirectoryInvalidError,
    RequestInvalidError,
    SealCertificateError,
    StorageDamagedError,
)
from edockit.language import _, told
from edocnode.cli.context import CommandContext, now
from edocnode.cli.wording import clock

if TYPE_CHECKING:
    from edockit.secrets import SecretPlace
    from edocnode.domain.own_keys import KeyState
    from edocnode.storage.folder import DataFolder
    from edocnode.storage.key_files import KeyPlace

    Rewrite = Callable[[DataFolder, SecretPlace], list[Path]]

KEYS_SCHEMA = "edoc.key-files/v1"
SOON_DAYS = 45

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="File with the passphrase, mode 600; default: the setting key_passphrase_file.",
    ),
]


def list_keys(context: typer.Context) -> None:
    """Lists each key: where it is, its certificate, its days, and what comes when.

    Without a sound directory on disk it says so, and lists what the folder itself tells.
    """
    from edocnode.storage.key_files import key_list

    options: CommandContext = context.obj
    folder = folder_of(options)
    places = key_list(folder)
    states, problem = _states(folder)
    found, lines = [], []
    for place in places:
        row, state = _row(place), states.get(place.sha256)
        lines.append(
            _(
                "{name}: {place}; certificate {sha256}, {days} days left",
                name=row["name"],
                place=_place(place),
                sha256=row["certificate_sha256"],
                days=row["days_left"],
            )
        )
        if state is not None:
            row |= key_json(state)
            lines.append(f"  {key_text(row)}")
        found.append(row)
    data = {"schema": KEYS_SCHEMA, "keys": found, "problem": problem}
    options.console.data(data, "\n".join(lines))
    if problem:
        options.console.say(
            _(
                "What follows each key is not known, nor whether it is listed. {why}",
                why=told(problem),
            )
        )


def _states(folder: "DataFolder") -> tuple[dict[str, "KeyState"], str]:
    """What follows each key by its certificate, and why that is not known."""
    from edocnode.app.evidence import known_directory
    from edocnode.storage.key_files import key_life

    try:
        directory = known_directory(folder)
    except (DataFolderError, StorageDamagedError, DirectoryInvalidError) as error:
        return {}, error.message
    return {state.sha256: state for state in key_life(folder, directory, now())}, ""


def key_json(state: "KeyState") -> dict[str, Any]:
    """When a key in use ends and what comes then, as ``status`` says it."""
    listed = state.listed_since
    return {
        "expires_at": utc_text(state.not_after),
        "next_sha256": state.following,
        "next_listed_at": None if listed is None else utc_text(listed),
        "changes_at": utc_text(state.change_at),
        "by_hand": state.by_hand,
    }


def key_text(key: dict[str, Any]) -> str:
    """When a key ends and what comes then."""
    values = {"ends": clock(key["expires_at"]), "at": clock(key["changes_at"])}
    if key["by_hand"]:
        told_so = told(key["by_hand"])
        return _(
            "ends {ends}; to be renewed by hand from {at} on. {advice}", **values, advice=told_so
        )
    if not key["next_sha256"]:
        return _("ends {ends}; the next one is asked for on {at}", **values)
    if key["next_listed_at"] is None:
        return _("ends {ends}; the next one is not in the directory yet", **values)
    return _("ends {ends}; the next one takes over on {at}", **values)


def protect(context: typer.Context, passphrase_file: PassphraseFile = None) -> None:
    """Encrypts the key files with a passphrase; the node must be stopped."""
    from edocnode.storage.key_files import protect_keys

    options: CommandContext = context.obj
    folder = folder_of(options)
    _rewrite(options, folder, _passphrase(folder, passphrase_file), protect_keys)
    options.console.say(
        _(
            "Copies of the files as they were, in backups or free blocks of the disk, are not "
            "encrypted. Keep the passphrase in another place than the backup."
        )
    )
    if passphrase_file is not None and not folder.passphrase():
        options.console.say(
            _(
                'The node needs it at each start; in edocnode.toml: key_passphrase_file = "{file}"',
                file=passphrase_file.absolute(),
            )
        )


def unprotect(context: typer.Context, passphrase_file: PassphraseFile = None) -> None:
    """Writes the key files without encryption; the node must be stopped."""
    from edocnode.storage.key_files import unprotect_keys

    options: CommandContext = context.obj
    folder = folder_of(options)
    _rewrite(options, folder, _passphrase(folder, passphrase_file), unprotect_keys)


def import_certificate(
    context: typer.Context,
    certificate: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="Seal certificate of another CA, PEM.")
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="PEM file of its key, mode 600; not for a key in a token."),
    ] = None,
    mldsa_key: Annotated[
        Path | None,
        typer.Option(
            "--mldsa-key", help="PEM file of its ML-DSA-65 key, mode 600; only of suite 2."
        ),
    ] = None,
) -> None:
    """Seals with a certificate that another CA issued; the node must be stopped."""
    from edoccore.identity.certificate import certificate_digest
    from edockit.certificates import certificate_der
    from edockit.files import lock_folder
    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app.evidence import known_directory
    from edocnode.storage.key_files import import_seal

    set_up_logs(LogFormat.TEXT, "WARNING")
    options: CommandContext = context.obj
    folder, agency = folder_of(options), options.folder().identity().agency
    try:
        digest = certificate_digest(certificate_der(certificate.read_bytes()))
    except (OSError, ValueError) as error:
        raise RequestInvalidError(
            f"{certificate} holds no certificate in PEM.", hint="Check the path."
        ) from error
    with lock_folder(folder.path):
        usable = known_directory(folder).seals.current(agency, now())
        listed = next((item for item in usable if item.digests[0] == digest), None)
        if listed is None:
            raise SealCertificateError(
                f"The directory here does not list the certificate {digest[:16]}… for {agency}.",
                hint="Give it to the registry's officer, run the node a minute, and try again.",
                certificate=digest,
            )
        import_seal(folder, listed, key, mldsa_key)
    options.console.data(
        {"schema": KEYS_SCHEMA, "certificate_sha256": digest},
        _(
            "{agency} seals with the certificate {digest} from the next start on.",
            agency=agency,
            digest=digest,
        ),
    )


def _rewrite(
    options: CommandContext, folder: "DataFolder", passphrase: "SecretPlace", work: "Rewrite"
) -> None:
    from edockit.files import lock_folder

    with lock_folder(folder.path):
        changed = work(folder, passphrase)
    found = {"schema": KEYS_SCHEMA, "changed": [str(path) for path in changed]}
    text = "\n".join(str(path) for path in changed)
    options.console.data(found, text or _("Nothing had to be changed."))


def folder_of(options: CommandContext) -> "DataFolder":
    """The data folder with the places of its keys."""
    from edocnode.storage.folder import DataFolder
    from edocnode.storage.seal_key import key_places

    settings, path = options.settings(), options.folder().path
    return DataFolder(path, key_places(settings, path))


def _passphrase(folder: "DataFolder", file: Path | None) -> "SecretPlace":
    place = folder.key_places.passphrase
    assert place is not None
    return place if file is None else replace(place, file=file.absolute())


def _row(place: "KeyPlace") -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": place.name,
        "encrypted": place.encrypted,
        "certificate_sha256": place.sha256,
        "not_after": utc_text(place.certificate.not_valid_after_utc),
        "days_left": place.days_left(now()),
    }
    if place.file is None:
        return found | {"token": place.token, "key": place.key}
    return found | {"file": str(place.file)}


def _place(place: "KeyPlace") -> str:
    if place.file is None:
        return _("key '{key}' in the token '{token}'", key=place.key, token=place.token)
    if place.encrypted:
        return _("{file}, encrypted", file=place.file)
    return _("{file}, not encrypted", file=place.file)


def utc_text(moment: datetime) -> str:
    """A moment as ``--json`` writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
