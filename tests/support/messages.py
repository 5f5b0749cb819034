"""The messages in the code, and the catalogues that translate them.

``python -m tests.support.messages`` brings the catalogues up to date: new messages enter without a
translation, those that are gone leave. What counts as a message: the text and hint of every error,
what is given to ``_``, ``told`` or ``marked``, what the demonstration proves, help texts, and all
other prose in the code (literals with at least two lower-case words before a blank), but no log
events, SQL, commands, docstrings or comments that a program writes. Besides, words and texts of
libraries that reach people: ``SPOKEN``. What looks like a message and is none stands in
``UNSPOKEN``. A test of the gate wants each message translated.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
PACKAGES = {  # whose messages stand in whose catalogue
    "edockit": ("proto/edocnet", "proto/edoccore", "proto/edockit"),
    "edocnode": ("node/edocnode",),
    "edocregistry": ("registry/edocregistry",),
}
# What the command line library says.
COMMAND_LINE = (
    "Arguments",
    "Options",
    "Commands",
    "required",
    "default: {default}",
    "env var: {variable}",
    "Show this message and exit.",
    "Missing command.",
    "No such command {command}.",
    "No such command {command}. Did you mean {commands}?",
    "No such option: {option}",
    "No such option: {option} (Possible options: {options})",
    "Option {option} requires an argument.",
    "Option {option} does not take a value.",
    "Missing argument {argument}.",
    "Missing option {option}.",
    "Got unexpected extra argument(s) ({arguments})",
    "Invalid value for {parameter}: {problem}",
    "file {path} does not exist.",
    "file {path} is a directory.",
    "file {path} is not readable.",
    "{value} is not one of {choices}.",
)
# What the reader of settings and options says of a value.
SETTINGS = (
    "Value error, {problem}",
    "String should match pattern {pattern}",
    "String should have at most {count} characters",
    "Input should be {choices}",
    "Input should be a valid boolean, unable to interpret input",
    "Input should be a valid string",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be greater than {limit}",
    "Input should be greater than or equal to {limit}",
    "Input should be less than or equal to {limit}",
)
# What the operating system says of a file or an address; Python gives it in English.
SYSTEM = (
    "No such file or directory",
    "Permission denied",
    "Not a directory",
    "Is a directory",
    "File exists",
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Input/output error",
    "Too many open files",
    "File name too long",
    "Operation not permitted",
    "Address already in use",
    "Cannot assign requested address",
    "Connection refused",
    "Name or service not known",
)
# What gRPC says of a peer that cannot be reached; put into a clause.
UNREACHABLE = (
    "failed to connect to all addresses; last error: {status}: {address}: {problem}",
    "Failed to connect to remote host: {problem}",
    "Stream removed ({problem})",
    "Socket closed",
    "Connection reset by peer",
    "Deadline Exceeded",
)
# What the readers of XML and of records say of a package; they are put into clauses.
PACKAGES_READ = (
    *("syntax error", "not well-formed (invalid token)", "unclosed token", "mismatched tag"),
    *("partial character", "duplicate attribute", "junk after document element"),
    *("undefined entity", "unbound prefix", "unknown encoding", "unclosed CDATA section"),
    "illegal parameter entity reference",
    "reference to invalid character number",
    "XML or text declaration not at start of entity",
    "encoding specified in XML declaration is incorrect",
    "XML declaration not well-formed",
    "Expected `str` of length >= {limit}",
    "Expected `str` of length <= {limit}",
    "Expected `array` of length <= {limit}",
    "Expected `int` >= {limit}",
    "Expected `int` <= {limit}",
    "Expected `{expected}`, got `{found}`",
    "Object missing required field `{field}`",
    "Only base64 data is allowed",
    "Incorrect padding",
    "Excess data after padding",
    "Excess padding not allowed",
    "Leading padding not allowed",
    "Discontinuous padding not allowed",
    (
        "Invalid base64-encoded string: number of data characters ({count}) cannot be 1 more "
        "than a multiple of 4"
    ),
    "Bad CRC-32 for file {file}",
    "Error {number} while decompressing data: {problem}",
    "Digest mismatch for reference {number} ({reference})",
    "Signature verification failed: {problem}",
    "File is not a zip file",
)
# Messages that stand nowhere in the code as a literal, by catalogue.
SPOKEN = {
    "edockit": (
        *COMMAND_LINE,
        *SETTINGS,
        *SYSTEM,
        *("active", "suspended", "merged", "closed"),  # states of agencies, in lower case
        *("is missing", "number {index}"),  # shorter than what counts as prose
    ),
    "edocnode": (
        # of deliveries
        *("queued", "sending", "delivered", "rejected", "expired", "held", "void"),
        # of received documents, and what was answered to a revocation
        *("received", "arrived", "accepted", "assigned", "processing", "finished", "revoked"),
        *("agreed", "declined"),
        *("fresh", "stale", "emergency"),  # of the directory
        *("new", "up", "down"),  # of peers
        *("undelivered", "unanswered", "undecided", "overdue"),  # why it is late
        *("used", "paper"),  # of official numbers
        *("ok", "broken", "valid", "invalid", "no anchor"),  # verdicts on a journal or evidence
        *("untrusted", "weak", "unchecked"),  # on the signature of a package
        *("read", "send", "decide"),  # rights of an account
        *("listed", "shown", "watched", "part read", "saved", "exported", "evidence exported"),
        *("submitted", "decided", "queued again", "numbered", "denied", "entries lost"),  # accesses
        *("restricted", "opened", "counted", "checked again"),
        *("sent on time", "acknowledged", "refused", "type", "day", "peer"),  # of statistics
        *("document type", "form of copy", "signing authority", "circulation mark"),  # code lists
        # remarks in the code lists
        "the decree gives official letters no abbreviation; CV is what offices write",
        "has no abbreviation, so its name is its code; the number of edXML is recalled",
        "the number of edXML is recalled",
        "written as hoa_toc with deliver_by",
        "the words are recalled",
        # of what VERIFY.md prints
        "8 sent by {sender}, sealed by {sealer} at {sealed_at}",
        "9 {state} by {recipient} at {received_at}",
        *("the registry", "The envelope", "{damaged} small part(s)"),  # shorter than prose
        # of the decoder of documents' data
        "expected {expected}, got {found}",
        "object missing required field {field}",
        "object contains unknown field {field}",
        *PACKAGES_READ,
        *UNREACHABLE,
    ),
    "edocregistry": (
        *("Closing {code}", "{name} was revoked"),  # shorter than prose
        *("seal", "tls"),  # certificates
        "a port is at most {limit}",
        "nodes cannot reach it; name the address they use with advertise",
    ),
}
# Prose that must stay as it is, whoever reads it.
UNSPOKEN = {
    "Văn bản bị giữ theo yêu cầu pháp lý: {hold} (legal hold).": "stands in a sealed status",
    "Registry of {network}": "name in a certificate",
    "Seals of {network}": "name in a certificate",
    "init --network {network}": "order in the registry's audit",
    "agency add {code}": "order in the registry's audit",
    "agency suspend {code}": "order in the registry's audit",
    "agency resume {code}": "order in the registry's audit",
    "agency close {code}": "order in the registry's audit",
    "agency minimum {code} --suite {suite}": "order in the registry's audit",
    "outside seal {code}": "order in the registry's audit",
    "publish draft {draft}": "order in the registry's audit",
    "restore of {made_at}": "order in the registry's audit",
    "restore from mirror {version}": "order in the registry's audit",
    "rebuild from directory {version}": "order in the registry's audit",
    "Seals of {network} {now}": "name in a certificate",
    "{name} (sudo by {behind})": "actor in a journal or audit",
    "envelope {digest} to {to} ended {expires};": "detail in the journal",
    "Internal error from Core": "gRPC's own words, which are looked for",
    "Bản sao lưu được tạo trước khi thu hồi (backups made before the revocation).": (
        "goes into a sealed status, in both languages"
    ),
    "of series {name}": "detail in the journal",
    "Quyết định 28-QĐ-UBND.pdf": "file of the demonstration",
    "Phụ lục I - Bản đồ số hóa.bin": "file of the demonstration",
    "Về việc ban hành Quy chế tiếp nhận, xử lý văn bản điện tử": "subject in the demonstration",
    "V/v thông báo lịch bảo trì hệ thống đăng ký": "subject in the demonstration",
    "Ủy ban nhân dân Thành phố Hồ Chí Minh": "agency of the demonstration",
}
_WRITTEN = re.compile(  # comments of settings, SQL, commands
    r"# |(WITH|SELECT|INSERT|UPDATE|DELETE) |(edocnode|edocregistry|openssl) [a-z0-9]+ -"
)
# English words that stand in translations too: as commands, options and states to type.
TYPED_TOO = frozenset(
    "accepted agency all and delivered error from held queued received rejected since state "
    "the".split()
)
# What stands in the code of commands and is no text for people.
NO_TEXT = frozenset({"tail lost at restore", "tuple[TrustSettings, int]", "files/{name}"})
_PRINTING = frozenset({"say", "data", "table", "print", "echo"})
_TELLING = frozenset({"_", "told", "marked", "prove", "poll", "new_app", "Typer"})
_PLACES = re.compile(r"\{\w*\}")
_LETTERS = re.compile(r"[^\W\d_]+")
_PROSE = re.compile(r"[a-z]+ ")
_SILENT = frozenset(  # calls whose texts no person reads as a message
    "debug info warning exception critical text compile partial_index ValueError TypeError "
    "RuntimeError AssertionError NotImplementedError Index execute".split()
)
_SKIPPED = ("_pb2", "/migrations/", "/domain/reasons.py")  # the last has both languages


def messages_of(package: str) -> dict[str, set[str]]:
    """All messages of a package's catalogue, each with the files it stands in."""
    found: dict[str, set[str]] = {}
    for folder in PACKAGES[package]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not any(part in f"/{name}" for part in _SKIPPED):
                for message in _in_code(path.read_text("utf-8")):
                    found.setdefault(message, set()).add(name)
    for message in UNSPOKEN.keys() & found.keys():
        del found[message]
    for message in help_of(package):
        found.setdefault(message, set()).add(f"{PACKAGES[package][-1]}/cli/main.py")
    for message in SPOKEN[package]:
        found.setdefault(message, set()).add("tests/support/messages.py")
    return found


def prose_of(package: str) -> set[str]:
    """All prose in a package's code, messages or not."""
    return {
        message
        for folder in PACKAGES[package]
        for path in (ROOT / folder).rglob("*.py")
        for message in _in_code(path.read_text("utf-8"))
    }


def catalogue_file(package: str) -> Path:
    """The Vietnamese catalogue of a package."""
    return ROOT / PACKAGES[package][-1] / "locale" / "vi.po"


def read_catalogue(package: str) -> dict[str, str]:
    """Translations by message; empty for what has none."""
    path = catalogue_file(package)
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {str(item.id): str(item.string) for item in read_po(file) if item.id}


def update_catalogue(package: str) -> int:
    """Writes the catalogue anew; returns how many messages have no translation."""
    known = read_catalogue(package)
    catalogue = Catalog(locale="vi", charset="utf-8", fuzzy=False)
    for message, places in messages_of(package).items():
        catalogue.add(
            message, known.get(message, ""), locations=[(name, 0) for name in sorted(places)]
        )
    path = catalogue_file(package)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, omit_header=True, sort_by_file=True, include_lineno=False)
    text = path.read_text("utf-8")
    path.write_text(f'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n{text}')
    return sum(not item.string for item in catalogue if item.id)


def template(node: ast.expr) -> str | None:
    """The message that an expression makes; places have the names of their values."""
    if isinstance(node, ast.Constant):
        return _literal(node.value) if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    pieces, used = [], set()
    for value in node.values:
        if isinstance(value, ast.Constant):
            pieces.append(_literal(str(value.value)))
        elif isinstance(value, ast.FormattedValue):
            pieces.append(f"{{{_named(value.value, used)}}}")
    return "".join(pieces)


def untranslated(source: str) -> list[str]:
    """Texts in the code of commands that people would read in English, whatever their language.

    What a console prints, a table heads with, or stands in a sentence or an f-string with English
    words in it, and goes through none of ``_``, ``told``, ``marked``.
    """
    tree = ast.parse(source)
    printed = {id(text) for text in _printed(tree)}
    exempt = _unread(tree) | _told(tree)
    found = []
    for node in ast.walk(tree):
        if id(node) in exempt or not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        text = template(node) or ""
        words = _LETTERS.findall(_PLACES.sub(" ", text))
        prose = isinstance(node, ast.JoinedStr) or " " in text or id(node) in printed
        if text in NO_TEXT or not prose or _WRITTEN.match(text):
            continue
        if any(word in english_words() for word in words):
            found.append(text)
    return found


def _printed(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands in a call that prints: texts, headings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _callee(node) in _PRINTING:
            for argument in node.args:
                if not isinstance(argument, ast.Dict):
                    yield from ast.walk(argument)


def _told(tree: ast.AST) -> set[int]:
    """What is translated, or told where it is read; keys and names of fields."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _callee(node)
            if name in _TELLING or name.endswith("Error"):
                found.update(id(below) for below in ast.walk(node))
        elif isinstance(node, ast.Subscript):
            found.update(id(below) for below in ast.walk(node.slice))
        elif isinstance(node, ast.Compare):
            found.update(id(below) for below in ast.walk(node))
    return found


@cache
def english_words() -> frozenset[str]:
    """Words of messages that stand in no translation, and those that are typed, too."""
    entries = [entry for package in PACKAGES for entry in read_catalogue(package).items()]
    english = {word for message, _ in entries for word in _words(message)}
    vietnamese = {word for _, said in entries for word in _words(said)}
    return frozenset(english - vietnamese) | TYPED_TOO


def _words(text: str) -> Iterator[str]:
    """Words of three letters or more: shorter ones may be Vietnamese, in names and texts."""
    found = _LETTERS.findall(_PLACES.sub(" ", text))
    return (word.lower() for word in found if len(word) > 2 or word.lower() in ("of", "is"))


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _in_code(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    silent = _unread(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in silent:
            for argument in _spoken(node):
                text = template(argument)
                if _callee(node) in ("_", "marked") and isinstance(argument, ast.Constant):
                    text = str(argument.value)  # a template as it stands
                    silent.add(id(argument))
                if text and text.strip():
                    yield text.strip()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in silent:
            text = template(node) or ""
            prose = len(_PROSE.findall(re.sub(r"\{\w+\}", "", text))) >= 2
            if prose and not _WRITTEN.match(text.lstrip()):
                yield text.strip()


def _spoken(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that are messages."""
    name = _callee(call)
    if name in ("_", "told", "marked", "prove"):
        yield from call.args[:1]
    elif name == "Problem":  # code, message, hint
        yield from call.args[1:3]
    elif name.endswith("Error") and name not in _SILENT:
        told = [*call.args[:1], *(item.value for item in call.keywords if item.arg == "hint")]
        for argument in told:
            yield from (
                (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
            )


def _unread(tree: ast.AST) -> set[int]:
    """Docstrings, pieces of templates, and what is inside calls that tell people nothing."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            found.update(id(value) for value in node.values if isinstance(value, ast.Constant))
        elif isinstance(node, ast.Call) and _callee(node) in (*_SILENT, "Option", "Argument"):
            found.update(id(below) for below in ast.walk(node))
    return found


def _callee(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _named(value: ast.expr, used: set[str]) -> str:
    """A name for a place that tells a translator what stands there."""
    while isinstance(value, ast.Call | ast.Subscript | ast.BinOp):
        if isinstance(value, ast.Subscript):
            value = value.slice if isinstance(value.slice, ast.Constant) else value.value
        elif isinstance(value, ast.BinOp):
            value = value.left
        else:
            value = value.args[0] if value.args else value.func
    if isinstance(value, ast.Attribute):
        name = value.attr
    elif isinstance(value, ast.Name):
        name = value.id
    else:
        name = str(value.value) if isinstance(value, ast.Constant) else "value"
    plain = re.sub(r"\W", "", name).lower().strip("_") or "value"
    plain = plain if plain[0].isalpha() else f"value{plain}"
    numbered = (f"{plain}{number}" for number in range(2, 100))
    chosen = plain if plain not in used else next(n for n in numbered if n not in used)
    used.add(chosen)
    return chosen


def help_of(package: str) -> Iterator[str]:
    """All help texts of a program."""
    from typer.main import get_command

    from edockit.help_language import joined

    if package == "edocnode":
        from edocnode.cli.main import build_app
    elif package == "edocregistry":
        from edocregistry.cli.main import build_app
    else:
        return
    commands: list[Any] = [get_command(build_app())]
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        yield from (joined(text) for text in (command.help, command.epilog) if text)
        for item in command.params:
            texts = (getattr(item, name, None) for name in ("help", "rich_help_panel"))
            yield from (joined(text) for text in texts if text)


if __name__ == "__main__":
    missing = {package: update_catalogue(package) for package in PACKAGES}
    for package, count in missing.items():
        print(f"{catalogue_file(package).relative_to(ROOT)}: {count} without a translation")
    sys.exit(1 if any(missing.values()) else 0)
