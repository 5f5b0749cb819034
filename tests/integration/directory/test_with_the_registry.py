"""The registry's own program on one side, the node's reader on the other."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edoccore.directory.join import JoinString, parse_join
from edoccore.directory.state import Freshness, judge
from edoccore.directory.view import Directory
from edoccore.errors import PeerNotTrustedError, TokenRefusedError
from edoccore.identity.request import SealRequest
from edockit import certificates
from edocnode.rpc.joining import join, publish_endpoint, read_directory
from tests.support.nation import Agency, new_uuid7, tls_certificate

COMMAND = Path(sys.executable).with_name("edocregistry")


def registry_command(data: Path, *arguments: str) -> str:
    """Runs a command of the registry and returns what it prints."""
    done = subprocess.run(
        [COMMAND, "--data", data, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a registry that runs."""
    data = tmp_path / "registry"
    registry_command(data, "init", "--network", "vn-test", "--listen", "127.0.0.1:0")
    registry_command(data, "agency", "add", "H29", "--name", "Ủy ban nhân dân")
    server = subprocess.Popen(
        [COMMAND, "--data", data, "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        assert server.stdout is not None
        while json.loads(server.stdout.readline() or "{}").get("schema") != "edoc.ready/v1":
            assert server.poll() is None
        yield data
        server.terminate()


def seal_request(key: ec.EllipticCurvePrivateKey) -> SealRequest:
    return SealRequest(certificates.seal_request(key, "H29"))


async def test_a_node_joins_is_listed_and_is_revoked(data: Path) -> None:
    now = datetime.now(UTC)
    invitation = parse_join(await asyncio.to_thread(registry_command, data, "invite", "H29"))
    seal_key, tls_key = certificates.new_private_key(), certificates.new_private_key()
    enrolment = await join(invitation, seal_request(seal_key), now=now)
    assert enrolment.directory.problems == ()
    assert judge(enrolment.directory, now).freshness is Freshness.FRESH
    agency = Agency(
        code="H29",
        name="Ủy ban nhân dân",
        network="vn-test",
        seal_key=seal_key,
        seal_certificate=enrolment.seal.chain[0],
        authority=enrolment.seal.chain[-1],
        tls_key=tls_key,
        tls_certificate=tls_certificate(tls_key, "H29", now=now),
        server_name="h29.edoc.test",
        epoch=new_uuid7(now),
    )
    sealed = agency.endpoint("127.0.0.1:7777", time=now)
    version = await publish_endpoint(enrolment.directory, sealed, now=now)
    listed = await reread(invitation)
    assert listed.mark.version == version
    assert listed.tls_agency(agency.tls_sha256, now) == "H29"
    await asyncio.to_thread(registry_command, data, "revoke", "H29", "--yes")
    revoked = await reread(invitation)
    assert revoked.endpoint("H29", now) is None
    assert revoked.seals.current("H29", now + timedelta(seconds=5)) == []
    with pytest.raises(PeerNotTrustedError, match="revoked"):
        revoked.tls_agency(agency.tls_sha256, now)


async def test_t39_a_token_serves_one_key_and_repeats_its_answer(data: Path) -> None:
    now = datetime.now(UTC)
    invitation = parse_join(await asyncio.to_thread(registry_command, data, "invite", "H29"))
    request = seal_request(certificates.new_private_key())
    other = seal_request(certificates.new_private_key())
    answers = await asyncio.gather(*(join(invitation, request, now=now) for _ in range(3)))
    assert len({answer.seal.digests for answer in answers}) == 1
    with pytest.raises(TokenRefusedError):
        await join(invitation, other, now=now)
    again = await join(invitation, request, now=now)
    assert again.seal.digests == answers[0].seal.digests


async def reread(invitation: JoinString) -> Directory:
    """The directory as a newcomer reads it."""
    return await read_directory(invitation.address, invitation.root_sha256)
