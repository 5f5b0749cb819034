"""Commands about settings: config check, show, paths. They work on a stopped node."""

import typer

from edockit.language import _
from edocnode.cli.context import CommandContext, now

CONFIG_SCHEMA = "edoc.config/v1"
PATHS_SCHEMA = "edoc.paths/v1"


def build_app() -> typer.Typer:
    """Puts the commands about settings together."""
    from edockit.console import new_app

    app = new_app("Checks and shows the settings.")
    app.command()(check)
    app.command()(show)
    app.command()(paths)
    return app


def check(context: typer.Context) -> None:
    """Checks settings, calendar, keys and directory without starting the node."""
    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app.working_days import WorkingDays
    from edocnode.storage.directory_files import DirectoryFiles
    from edocnode.storage.folder import TLS_NAMES, DataFolder
    from edocnode.storage.seal_key import key_places, seal_signer

    set_up_logs(LogFormat.TEXT, "WARNING")
    options: CommandContext = context.obj
    settings, path = options.settings(), options.folder().path
    folder = DataFolder(path, key_places(settings, path))
    WorkingDays(settings, folder.path).rules(now())
    identity = folder.identity()
    signer = seal_signer(folder)
    try:
        signer.sign(b"edocnode config check")  # no statement: nobody takes it for a seal
    finally:
        signer.close()
    for name in TLS_NAMES:
        folder.tls_pair(name)
    directory = DirectoryFiles(folder.directory, identity.root_sha256).load()
    options.console.data(
        {"schema": CONFIG_SCHEMA, "ok": True, "directory_version": directory.mark.version},
        _(
            "Settings, calendar, keys and directory (version {version}) can be used.",
            version=directory.mark.version,
        ),
    )


def show(context: typer.Context) -> None:
    """Shows every setting in force; secrets are struck out."""
    from edockit.settings import settings_table

    options: CommandContext = context.obj
    found = settings_table(options.settings())
    text = "\n".join(f"{key:<22} {value}" for key, value in found.items())
    options.console.data({"schema": CONFIG_SCHEMA, "settings": found}, text)


def paths(context: typer.Context) -> None:
    """Shows which file is where."""
    options: CommandContext = context.obj
    folder = options.folder()
    folder.identity()
    found = {
        "data": folder.path,
        "settings": folder.settings_file,
        "database": folder.database_file,
        "parts": folder.blobs,
        "directory": folder.directory,
        "keys": folder.keys,
    }
    labels = [
        *(_("data"), _("settings"), _("database")),
        *(_("parts"), _("directory"), _("keys")),
    ]
    width = max(map(len, labels))
    lines = [
        f"{label:<{width}}  {path}" for label, path in zip(labels, found.values(), strict=True)
    ]
    text = "\n".join(lines)
    shown = {name: str(path) for name, path in found.items()}
    options.console.data({"schema": PATHS_SCHEMA, **shown}, text)
