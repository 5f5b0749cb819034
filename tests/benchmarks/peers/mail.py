"""S/MIME mail over a local SMTP server, each signed letter answered by a signed letter.

    mail.py FOLDER COUNT SIZE inside|openssl

Two processes, each with an aiosmtpd server and a key (ECDSA P-256). A letter is signed, sent,
verified against the one certificate that is expected, written and fsynced; then the answer is
signed and goes the same way back. ``inside`` signs and verifies in the process (cryptography,
asn1crypto); ``openssl`` calls ``openssl cms`` for each step, as scripts do. Prints one JSON object.
"""

import asyncio
import concurrent.futures
import datetime as dt
import email
import email.message
import email.policy
import hashlib
import json
import multiprocessing
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from aiosmtpd.controller import Controller
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

SENDERS = 8  # connections at once
ANSWER_WITHIN_S = 60
ALGORITHM = ec.ECDSA(hashes.SHA256())
SIDES = ("sender", "receiver")


class Crypto:
    """Signs and verifies detached S/MIME in this process."""

    def __init__(self, folder: Path, own: str, other: str) -> None:
        self.folder, self.own, self.other = folder, own, other
        key, certificate = (folder / f"{own}.{kind}" for kind in ("key", "pem"))
        self.key = serialization.load_pem_private_key(key.read_bytes(), None)
        self.certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
        peer = x509.load_pem_x509_certificate((folder / f"{other}.pem").read_bytes())
        self.peer_key = peer.public_key()

    def sign(self, content: bytes) -> bytes:
        """A multipart/signed letter."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.DetachedSignature]
        return builder.sign(serialization.Encoding.SMIME, options)

    def verify(self, letter: bytes) -> bytes:
        """The content, when the signature is that of the peer."""
        parsed = email.message_from_bytes(letter)
        boundary = b"--" + parsed.get_boundary().encode()
        content = letter.split(boundary)[1][1:-1].removeprefix(b"\n").removesuffix(b"\r")
        signature = parsed.get_payload()[1].get_payload(decode=True)
        (signer,) = cms.ContentInfo.load(signature)["content"]["signer_infos"]
        attributes = signer["signed_attrs"]
        digest = next(item for item in attributes if item["type"].native == "message_digest")
        wanted = hashlib.sha256(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).digest()
        assert digest["values"][0].native == wanted, "the letter was altered"
        signed = b"\x31" + attributes.dump()[1:]
        self.peer_key.verify(signer["signature"].native, signed, ALGORITHM)
        return content


class Openssl(Crypto):
    """The same by a process for each step."""

    def sign(self, content: bytes) -> bytes:
        """A multipart/signed letter."""
        words = ("-sign", "-signer", f"{self.own}.pem", "-inkey", f"{self.own}.key")
        return self._run(content, *words).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def verify(self, letter: bytes) -> bytes:
        """The content, when the signature is that of the peer."""
        return self._run(letter, "-verify", "-CAfile", f"{self.other}.pem", "-purpose", "any")

    def _run(self, data: bytes, *words: str) -> bytes:
        done = subprocess.run(
            ["openssl", "cms", *words], input=data, capture_output=True, check=True, cwd=self.folder
        )
        return done.stdout


KINDS = {"inside": Crypto, "openssl": Openssl}


class Post:
    """Takes letters in: verifies, keeps, hands on."""

    def __init__(self, crypto: Crypto, place: Path, then) -> None:
        self.crypto, self.place, self.then = crypto, place, then
        self.place.mkdir()
        self.threads = concurrent.futures.ThreadPoolExecutor(SENDERS)

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd calls it so
        """Accepted when the letter is verified and on disk."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.threads, self.keep, envelope.content)
        return "250 kept"

    def keep(self, letter: bytes) -> None:
        """Verifies and fsyncs."""
        content = self.crypto.verify(letter)
        with (self.place / os.urandom(8).hex()).open("wb") as file:
            file.write(letter)
            file.flush()
            os.fsync(file.fileno())
        self.then(content)


def server(post: Post, port: int) -> Controller:
    """An SMTP server that answers."""
    controller = Controller(post, hostname="127.0.0.1", port=port)
    controller.start()
    return controller


def free_ports() -> list[int]:
    """Two ports that were free a moment ago."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in (first, second)]


class Sending(threading.local):
    """One SMTP connection for each thread."""

    def __init__(self, port: int) -> None:
        self.connection = smtplib.SMTP("127.0.0.1", port)

    def letter(self, letter: bytes) -> None:
        """Hands one over."""
        self.connection.sendmail("a@example.vn", ["b@example.vn"], letter)


def receiver(folder: Path, kind: str, own: int, other: int, ready) -> None:
    """The other side: answers each letter by a signed one."""
    crypto = KINDS[kind](folder, "receiver", "sender")
    ready.wait()
    sending = Sending(other)

    def answer(content: bytes) -> None:
        text = b"Received: " + hashlib.sha256(content).hexdigest().encode()
        sending.letter(crypto.sign(text))

    server(Post(crypto, folder / "inbox", answer), own)
    ready.wait()
    threading.Event().wait()


def main() -> None:
    """Sends and waits for all answers."""
    folder, count, size, kind = Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4]
    for side in SIDES:
        new_key(folder, side)
    crypto = KINDS[kind](folder, "sender", "receiver")
    answered = threading.Semaphore(0)
    here, there = free_ports()
    ready = multiprocessing.Barrier(2)
    other = multiprocessing.Process(
        target=receiver, args=(folder, kind, there, here, ready), daemon=True
    )
    other.start()
    controller = server(Post(crypto, folder / "receipts", lambda _: answered.release()), here)
    ready.wait()  # this side answers
    ready.wait()  # the other, too
    seconds = exchange(crypto, Sending(there), answered, count, size)
    other.kill()
    controller.stop()
    print(json.dumps({"seconds": seconds, "messages": count}))


def exchange(crypto: Crypto, sending: Sending, answered, count: int, size: int) -> float:
    """Seconds from the first letter to the last verified answer."""

    def one(_: int) -> None:
        letter = email.message.EmailMessage(policy=email.policy.SMTP)
        letter.set_content(os.urandom(size), "application", "octet-stream")
        sending.letter(crypto.sign(bytes(letter)))

    with concurrent.futures.ThreadPoolExecutor(SENDERS) as threads:
        began = time.perf_counter()
        list(threads.map(one, range(count)))
        for _ in range(count):
            assert answered.acquire(timeout=ANSWER_WITHIN_S), "an answer is missing"
        return time.perf_counter() - began


def new_key(folder: Path, name: str) -> None:
    """A key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(encoding))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


if __name__ == "__main__":
    main()
