"""What a node that was shut out sees, and what it says of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from edoccore.errors import PeerUnreachableError
from edocnode.domain.quotas import shut_out_by
from edocnode.rpc.peers import Links, OwnTls
from tests.support.bad_peer import BadPeer
from tests.support.nodes import make_pair, running, utc_now


async def test_a_handshake_that_is_refused_is_told_from_a_node_that_is_down(tmp_path: Path) -> None:
    nation, _, second = make_pair(tmp_path)
    stranger = nation.add_agency("H30", "Không có trong danh bạ của G01")
    directory, told = nation.directory(), utc_now()
    caller = BadPeer(nation, stranger, second.agency, "")
    own = OwnTls(caller.chain, caller.key)
    links = Links(directory=lambda: directory, own=lambda: own, clock=utc_now)
    async with running(second):
        with pytest.raises(PeerUnreachableError) as refused:
            await links.link("G01").hello(caller.hello())
    with pytest.raises(PeerUnreachableError) as down:
        await links.link("G01").hello(caller.hello())
    await links.close()
    now = told + timedelta(seconds=1)
    found = shut_out_by("G01", refused.value, told=told, now=now)
    assert found is not None
    assert "has shut this node out" in found.message
    assert shut_out_by("G01", down.value, told=told, now=now) is None
