"""Texts that people and files bring: join strings, codes, names, TOML; and details of errors."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

from edoccore.directory.join import JoinString, format_join, parse_join
from edoccore.errors import PartNameError, PeerUnreachableError, SettingsError
from edoccore.identity.agency import AgencyCode
from edoccore.signing.part_names import check_part_names
from edoccore.signing.statements import MAX_PARTS
from edoccore.wire.status import MAX_FIELDS, MAX_MESSAGE_LENGTH, STATUS_KEY, raise_for, to_status
from edocnode import settings as node_settings
from edocregistry import settings as registry_settings
from tests.fuzz.target import Target

_JOIN = JoinString(
    host="registry.example.vn", port=7440, root_sha256="ab" * 32, token=bytes(range(16))
)
_ON_THIS_MACHINE = JoinString(host="::1", port=1, root_sha256="0" * 64, token=bytes(16))


def join(data: bytes) -> None:
    """A join string that is read is written the same."""
    text = data.decode("utf-8", "surrogateescape")
    assert format_join(parse_join(text)) == text.strip()


def agency_code(data: bytes) -> None:
    """A code that is read is itself."""
    text = data.decode("utf-8", "surrogateescape")
    assert AgencyCode.parse(text) == text


def part_names(data: bytes) -> None:
    """Names that are accepted can be written to a disk as they are."""
    names = data.decode("utf-8", "surrogateescape").split("\n", MAX_PARTS - 1)
    check_part_names(names)
    for name in names:
        os.fsencode(name)
        assert Path(name).name == name


def settings(data: bytes) -> None:
    """The settings of both programs."""
    with tempfile.NamedTemporaryFile(prefix="edoc-fuzz-", suffix=".toml") as file:
        file.write(data)
        file.flush()
        for read in (node_settings.read_settings, registry_settings.read_settings):
            with suppress(SettingsError):
                read(Path(file.name))


class _FailedCall(grpc.RpcError):
    def __init__(self, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self._trailers = trailers

    def trailing_metadata(self):
        return self._trailers

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "gone"


def status(data: bytes) -> None:
    """What a peer sends with a failed call becomes one bounded error, which can be sent on."""
    error = raise_for(_FailedCall(((STATUS_KEY, data),)))
    assert len(error.message) <= max(MAX_MESSAGE_LENGTH, len(type(error).__doc__ or ""))
    assert len(error.fields) <= MAX_FIELDS + 1
    assert len(to_status(error).SerializeToString()) <= 8192


def _statuses() -> list[bytes]:
    named = PartNameError("Part ../x is no name.", hint="Rename it.", message_id="1", name="../x")
    other = status_pb2.Status(code=5, message="?")
    other.details.add().Pack(error_details_pb2.ErrorInfo(reason="LATER", domain="edocnet"))
    foreign = status_pb2.Status(code=5)
    foreign.details.add().Pack(error_details_pb2.RetryInfo())
    sent = [to_status(named), to_status(PeerUnreachableError()), other, foreign]
    return [message.SerializeToString() for message in sent]


TARGETS = [
    Target(
        name="join",
        run=join,
        seeds=lambda: [
            format_join(_JOIN).encode(),
            format_join(
                JoinString(host="::1", port=1, root_sha256="0" * 64, token=bytes(16))
            ).encode(),
        ],
        max_bytes=500,
    ),
    Target(
        name="agency_code",
        run=agency_code,
        seeds=lambda: [b"H29", b"G01.22", b"000.00.00.G22", b"REGISTRY"],
        max_bytes=100,
    ),
    Target(
        name="part_names",
        run=part_names,
        seeds=lambda: [
            "record.json\nQuyết định 28-QĐ-UBND.pdf".encode(),
            b"a.txt\nb.txt\nA.TXT",
            "e\u0301.pdf\nCON.txt\n..\n\u202egpj.exe".encode(),
        ],
    ),
    Target(
        name="settings",
        run=settings,
        seeds=lambda: [
            node_settings.settings_text(
                node_settings.first_settings(listen="127.0.0.1:7443", advertise=None)
            ).encode(),
            registry_settings.settings_text(
                registry_settings.first_settings(
                    network="vn-test", listen="127.0.0.1:7440", advertise="r.vn:7440"
                )
            ).encode(),
            b'database = "postgresql+psycopg://u:p@h/d"\nlog_format = "json"\n',
        ],
    ),
    Target(name="status", run=status, seeds=_statuses, max_bytes=9000),
]
