"""The options of the command send, by topic; their order in its help is that of its parameters."""

from pathlib import Path
from typing import Annotated

import typer

from edoccore.signing.statements import Urgency
from edockit.language import marked
from edocnode.domain.secrecy import Secrecy

ON_PAPER = marked("The document on paper")
SIGNING = marked("Who signed it")
FILING = marked("Filing and references")
SENDING = marked("Sending")

# What is sent, and to whom
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="The document.")
]
To = Annotated[list[str] | None, typer.Option("--to", help="Recipient's code; may be repeated.")]
ToFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--to-file", exists=True, dir_okay=False, help="File of recipients' codes, one a line."
    ),
]
Subject = Annotated[
    str, typer.Option("--subject", help="What it is about (trích yếu); needed here or in --fields.")
]
Sender = Annotated[str, typer.Option("--from", help="Code to send from; default: the node's own.")]
Type = Annotated[
    str, typer.Option("--type", help="Type: CV, QĐ, quyet dinh; see: edocnode codes types.")
]
Fast = Annotated[Urgency, typer.Option("--urgency", help="How fast; see: edocnode codes urgency.")]
Marked = Annotated[
    Secrecy,
    typer.Option(
        "--secrecy", help="Only what is no state secret is sent; see: edocnode codes secrecy."
    ),
]
Due = Annotated[str, typer.Option("--due", help="Day by which it is due: 2026-12-05.")]
FieldsFile = Annotated[
    Path | None,
    typer.Option(
        "--fields",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="JSON object with any fields of the record; options win.",
    ),
]

Encrypt = Annotated[
    bool,
    typer.Option(
        "--encrypt",
        help="Encrypt the files so that only the recipients' nodes and this one read them; the "
        "subject and other fields, the recipients, names and sizes of files stay readable.",
    ),
]

# The document on paper
Number = Annotated[
    str,
    typer.Option(
        "--number", help="Number (số); auto: the node numbers it.", rich_help_panel=ON_PAPER
    ),
]
Notation = Annotated[
    str, typer.Option("--notation", help="Notation (ký hiệu).", rich_help_panel=ON_PAPER)
]
DocumentCode = Annotated[
    str,
    typer.Option(
        "--document-code",
        help="Official identifier; default: made of issuer, day, number and notation.",
        rich_help_panel=ON_PAPER,
    ),
]
IssuedDate = Annotated[
    str, typer.Option("--issued-date", help="Day of issue: 2026-11-23.", rich_help_panel=ON_PAPER)
]
IssuedPlace = Annotated[
    str, typer.Option("--issued-place", help="Place of issue.", rich_help_panel=ON_PAPER)
]
Pages = Annotated[
    int | None, typer.Option("--pages", min=1, help="Pages.", rich_help_panel=ON_PAPER)
]
Copies = Annotated[
    int | None, typer.Option("--copies", min=1, help="Copies issued.", rich_help_panel=ON_PAPER)
]
ToPlace = Annotated[
    list[str] | None,
    typer.Option(
        "--to-place", help="A line of nơi nhận; may be repeated.", rich_help_panel=ON_PAPER
    ),
]
Appendix = Annotated[
    list[str] | None,
    typer.Option(
        "--appendix", help="Title of an appendix; may be repeated.", rich_help_panel=ON_PAPER
    ),
]
Language = Annotated[str, typer.Option("--language", help="Language.", rich_help_panel=ON_PAPER)]
Description = Annotated[
    str, typer.Option("--description", help="Remark on it.", rich_help_panel=ON_PAPER)
]
PaperAlsoSent = Annotated[
    bool, typer.Option("--paper-also-sent", help="Paper goes too.", rich_help_panel=ON_PAPER)
]

# Who signed it
Signer = Annotated[str, typer.Option("--signer", help="Full name.", rich_help_panel=SIGNING)]
SignerPosition = Annotated[
    str, typer.Option("--signer-position", help="Position.", rich_help_panel=SIGNING)
]
SignerAuthority = Annotated[
    str,
    typer.Option(
        "--signer-authority",
        help="In whose name: KT., TL.; see: edocnode codes authorities.",
        rich_help_panel=SIGNING,
    ),
]

# Filing and references
ReplyTo = Annotated[
    str, typer.Option("--reply-to", help="Id of the answered document.", rich_help_panel=FILING)
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        help="Id of a document it refers to; may be repeated.",
        rich_help_panel=FILING,
    ),
]
Corrects = Annotated[
    str,
    typer.Option(
        "--corrects", help="Id of a sent document whose form this corrects.", rich_help_panel=FILING
    ),
]
Dossier = Annotated[
    str,
    typer.Option(
        "--dossier",
        help="File of records it belongs to: AGENCY,YEAR,NOTATION[,PLACE].",
        rich_help_panel=FILING,
    ),
]

# Sending
DeliverBy = Annotated[
    str,
    typer.Option(
        "--deliver-by",
        help="With hoa_toc: when it must be there: 2026-12-01T08:00.",
        rich_help_panel=SENDING,
    ),
]
SendAt = Annotated[
    str,
    typer.Option(
        "--send-at",
        help="Send it then: 2026-12-01T08:00 (or with offset: +07:00).",
        rich_help_panel=SENDING,
    ),
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        help="Your name for this request; makes repeating safe.",
        rich_help_panel=SENDING,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=0, help="Wait this many seconds for the receipts.", rich_help_panel=SENDING
    ),
]
