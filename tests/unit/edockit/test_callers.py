"""How callers are told apart by their addresses."""

import pytest

from edockit.grpc_threads import caller_of


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:10.0.0.1:50000", "ipv4:10.0.0.1"),
        ("ipv6:[2001:db8::1]:50000", "ipv6:2001:db8::/64"),
        ("ipv6:%5B2001:db8:0:0:ffff::9%5D:50000", "ipv6:2001:db8::/64"),
        ("ipv6:[2001:db8:0:1::1]:50000", "ipv6:2001:db8:0:1::/64"),
        ("ipv6:[::ffff:10.0.0.1]:50000", "ipv4:10.0.0.1"),
        ("ipv6:[fe80::1%eth0]:50000", "ipv6:fe80::/64"),
        ("ipv6:[nonsense]:1", "ipv6:nonsense"),
        ("unix:", "unix:"),
    ],
)
def test_a_caller_is_its_address_and_of_ipv6_its_line(peer: str, caller: str) -> None:
    assert caller_of(peer) == caller
