"""A timestamp authority as a ministry would run one: ``openssl ts`` behind a small HTTP server.

It can also be slow, silent, or lie, in each of the ways that a node must see.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "Dịch vụ cấp dấu thời gian"
_CONFIG = """
[tsa]
default_tsa = own
[own]
dir = {dir}
serial = {dir}/serial
crypto_device = builtin
signer_cert = {dir}/tsa.pem
signer_key = {dir}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    block_on_close = False  # whoever is answered slowly is left alone


class Mood(StrEnum):
    """How the authority answers."""

    HONEST = "honest"
    SLOW = "slow"  # five bytes a second
    OTHER_HASH = "another hash"
    OTHER_NONCE = "another nonce"
    REFUSES = "refuses"
    NONSENSE = "nonsense"
    ENDLESS = "endless"
    ERROR = "error"


@dataclass
class TestAuthority:
    """A root, an authority below it, and what it was asked."""

    __test__ = False
    folder: Path
    mood: Mood = Mood.HONEST
    asked: int = 0
    clock: str = ""  # for faketime, when it is to say another time
    _server: ThreadingHTTPServer | None = field(default=None, repr=False)
    _port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/tsa?v=1"

    @property
    def root(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.root_file.read_bytes())

    @property
    def root_file(self) -> Path:
        return self.folder / "roots" / "root.pem"

    @classmethod
    def make(
        cls, folder: Path, *, since: datetime | None = None, until: datetime | None = None
    ) -> "TestAuthority":
        """Makes keys and certificates; the authority's own is valid ``since`` to ``until``."""
        now = datetime.now(UTC)
        (folder / "roots").mkdir(parents=True)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(dir=folder))
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name, name = _name(f"Gốc {NAME}"), _name(NAME)
        life = {"since": now - timedelta(days=3650), "until": now + timedelta(days=3650)}
        root = _builder(root_name, root_name, root_key, **life)
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        tsa = _builder(
            name,
            root_name,
            key,
            since=since or life["since"],
            until=until or life["until"],
        )
        tsa = tsa.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        made = root.sign(root_key, hashes.SHA256()), tsa.sign(root_key, hashes.SHA256())
        for place, certificate in zip(("roots/root.pem", "tsa.pem"), made, strict=True):
            (folder / place).write_bytes(certificate.public_bytes(Encoding.PEM))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "tsa.key").write_bytes(pem)
        return cls(folder)

    @contextmanager
    def serving(self) -> Iterator["TestAuthority"]:
        """Answers on a port of its own while the block runs; the same port each time."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                authority.asked += 1
                query = self.rfile.read(int(self.headers["Content-Length"]))
                authority._answer(self, query)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def stamp(self, query: bytes) -> bytes:
        """The answer of openssl to a query."""
        asked, answer = self.folder / "query.tsq", self.folder / "answer.tsr"
        asked.write_bytes(query)
        faked = ["faketime", "-f", self.clock] if self.clock else []
        subprocess.run(
            [*faked, "openssl", "ts", "-reply", "-config", self.folder / "tsa.cnf",
             "-queryfile", asked, "-out", answer],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return answer.read_bytes()

    def query(self, data: bytes, *more: str) -> bytes:
        """A query for bytes, by openssl."""
        (self.folder / "data").write_bytes(data)
        made = subprocess.run(
            ["openssl", "ts", "-query", "-data", self.folder / "data", "-sha256", "-cert", *more],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return made.stdout

    def _answer(self, handler: BaseHTTPRequestHandler, query: bytes) -> None:
        if self.mood is Mood.ERROR:
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "application/timestamp-reply")
        handler.end_headers()
        try:
            if self.mood is Mood.ENDLESS:
                for _ in range(64):
                    handler.wfile.write(bytes(1 << 20))
                return
            content = self._content(query)
            if self.mood is not Mood.SLOW:
                handler.wfile.write(content)
                return
            for place in range(len(content)):
                handler.wfile.write(content[place : place + 1])
                handler.wfile.flush()
                time.sleep(0.2)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _content(self, query: bytes) -> bytes:
        if self.mood is Mood.NONSENSE:
            return b"\x30\x03\x02\x01\x00" * 9
        if self.mood is Mood.OTHER_HASH:
            return self.stamp(self.query(b"something else"))
        if self.mood is Mood.REFUSES:
            return bytes.fromhex("30073005020102") + b"\x30\x00"
        if self.mood is Mood.OTHER_NONCE:
            return self.stamp(
                query[:-7] + b"\1\2\3\4" + query[-3:]
            )  # before the wish for certificates
        return self.stamp(query)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    since: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
