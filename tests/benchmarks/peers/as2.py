"""Sends messages with django-pyas2: signed, each answered by a signed MDN in the same connection.

    as2.py make FOLDER PORT             two sites, sender/ and receiver/, that know each other
    as2.py send FOLDER COUNT SIZE       sends, checks, prints {"seconds": ..., "cpu": ...}

Run in the environment of the benchmarks (see ``make``). Tuned as well as was found: four sender
processes that live on, keys in PKCS#12 without iterations, the sender's parsed keys kept, no check
of certificate chains, plain HTTP. The receiver is ``gunicorn --workers 2 as2_site:application``.
"""

import datetime as dt
import functools
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

SENDERS = 4
WARM_UP = 2
PASSWORD = "x"
SIDES = {"sender": "receiver", "receiver": "sender"}


def main() -> None:
    """Does what the command line says."""
    what, folder, *numbers = sys.argv[1:]
    if what == "make":
        make(Path(folder), int(numbers[0]))
    else:
        print(json.dumps(send(Path(folder), *map(int, numbers))))


def make(folder: Path, port: int) -> None:
    """Makes keys and both sites."""
    keys = {side: new_key(side) for side in SIDES}
    for side, other in SIDES.items():
        process = multiprocessing.Process(
            target=make_site, args=(folder / side, side, keys[side][0], other, keys[other][1], port)
        )
        process.start()
        process.join()
        assert process.exitcode == 0, side


def new_key(name: str) -> tuple[bytes, bytes]:
    """An RSA key, which is what pyas2lib can sign with: PKCS#12, and the certificate as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import pkcs12

    key = rsa.generate_private_key(65537, 2048)
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
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(1)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSWORD.encode())
    )
    container = pkcs12.serialize_key_and_certificates(
        name.encode(), key, certificate, None, encryption
    )
    return container, certificate.public_bytes(serialization.Encoding.PEM)


def make_site(
    folder: Path, own: str, key: bytes, other: str, certificate: bytes, port: int
) -> None:
    """One site with its organisation and its partner."""
    (folder / "stored").mkdir(parents=True)
    os.environ["AS2_FOLDER"] = str(folder)
    import as2_site  # noqa: F401 - configures Django
    from django.core.management import call_command
    from pyas2.models import Organization, Partner, PrivateKey, PublicCertificate

    call_command("migrate", verbosity=0)
    # bulk_create: save() would read the dates of the certificate out of the key
    PrivateKey.objects.bulk_create([PrivateKey(name=own, key=key, key_pass=PASSWORD)])
    PublicCertificate.objects.bulk_create(
        [PublicCertificate(name=other, certificate=certificate, verify_cert=False)]
    )
    Organization.objects.create(name=own, as2_name=own, signature_key=PrivateKey.objects.get())
    Partner.objects.create(
        name=other,
        as2_name=other,
        target_url=f"http://127.0.0.1:{port}/pyas2/as2receive",
        content_type="application/octet-stream",
        signature="sha256",
        signature_cert=PublicCertificate.objects.get(),
        mdn=True,
        mdn_mode="SYNC",
        mdn_sign="sha256",
    )


def send(folder: Path, count: int, size: int) -> dict[str, float]:
    """Sends from several processes at once; seconds, and processor seconds of the senders."""
    ready, ended = multiprocessing.Barrier(SENDERS + 1), multiprocessing.Queue()
    each = count // SENDERS
    processes = [
        multiprocessing.Process(target=sender, args=(folder, each, size, ready, ended))
        for _ in range(SENDERS)
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    used = sum(ended.get() for _ in processes)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return {"seconds": seconds, "cpu": used, "messages": each * SENDERS}


def sender(folder: Path, count: int, size: int, ready, ended) -> None:
    """One process that sends message after message."""
    os.environ["AS2_FOLDER"] = str(folder / "sender")
    import as2_site  # noqa: F401 - configures Django
    from pyas2.models import Message, Organization, Partner

    parsed = Organization.as2org.fget
    Organization.as2org = property(functools.cache(parsed))
    organisation, partner = Organization.objects.get(), Partner.objects.get()
    for _ in range(WARM_UP):
        one(Message, organisation, partner, size)
    ready.wait()
    before = time.process_time()
    for _ in range(count):
        one(Message, organisation, partner, size)
    ended.put(time.process_time() - before)


def one(message_class, organisation, partner, size: int) -> None:
    """As the command ``sendas2message`` does; the MDN must be there and good."""
    from pyas2lib import Message as As2Message

    payload, name = os.urandom(size), f"{os.urandom(8).hex()}.bin"
    built = As2Message(sender=organisation.as2org, receiver=partner.as2partner)
    built.build(
        payload,
        filename=name,
        subject=partner.subject,
        content_type=partner.content_type,
        disposition_notification_to="no-reply@example.vn",
    )
    message, _ = message_class.objects.create_from_as2message(
        as2message=built, payload=payload, filename=name, direction="OUT", status="P"
    )
    message.send_message(built.headers, built.content)
    assert message.status == "S", message.detailed_status


if __name__ == "__main__":
    main()
