"""Commands about documents that are taken back: revoke, agree, decline."""

import unicodedata
from typing import Annotated, Any

import typer

from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.deciding import Actor, Id, tell_step
from edocnode.cli.wording import several
from edocnode.domain.reasons import DECLINE_CODES, known_codes


def revoke(
    context: typer.Context,
    document: Id,
    reason: Annotated[
        str, typer.Option("--reason", help="For the recipients to read; 10 characters or more.")
    ],
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Only from this recipient; may be repeated.")
    ] = None,
    actor: Actor = "",
) -> None:
    """Takes a sent document back; recipients destroy it and say so.

    What has not left is not sent any more. Recipients are obliged to destroy the document and to
    tell it (Decision 28/2018, Article 9); `edocnode show ID` says at whom it is not destroyed yet.
    The document stays here, frozen.
    """
    options: CommandContext = context.obj
    with options.office() as office:
        name = unicodedata.normalize("NFC", actor or operating_system_user())
        text = unicodedata.normalize("NFC", reason)
        found = office.revoke(document, to or (), actor=name, reason=text)
    options.console.data(found, _revoke_text(found))


def agree(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Destroys a document that its sender took back, and says so.

    The law obliges the recipient to it (Decision 28/2018, Article 9). It happens by itself unless
    the setting `revocations` is `ask`.
    """
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.agree(document, actor or operating_system_user())
    tell_step(options, found)


def decline(
    context: typer.Context,
    document: Id,
    code: Annotated[
        str,
        typer.Option(
            "--code",
            help=f"Code: {known_codes(DECLINE_CODES)}; see: edocnode codes decline-reasons.",
        ),
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="For the sender to read; 10 characters or more.")
    ],
    actor: Actor = "",
) -> None:
    """Keeps a document that its sender took back, and says why.

    Only where another law demands it: a recipient is obliged to destroy what is taken back
    (Decision 28/2018, Article 9). It can be destroyed later: `edocnode agree ID`.
    """
    options: CommandContext = context.obj
    text = unicodedata.normalize("NFC", reason)
    with options.office() as office:
        found = office.decline(document, actor or operating_system_user(), code=code, reason=text)
    tell_step(options, found)


def _revoke_text(found: dict[str, Any]) -> str:
    if found["repeated"]:
        return _("was already taken back. ({document_id})", document_id=found["document_id"])
    text = _(
        "Taken back: {taken_back} deliveries. Where it is destroyed: edocnode show {document_id}",
        taken_back=found["taken_back"],
        document_id=found["document_id"],
    )
    if found["not_reached"]:
        text += "\n" + _(
            "These agencies have ended, and their nodes are not heard any more, but have or may "
            "have a copy: {nodes}. Ask whoever follows them in writing to destroy it.",
            nodes=several(found["not_reached"]),
        )
    return text
