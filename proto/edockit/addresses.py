"""Addresses as people write them."""

from edoccore.errors import SettingsError


def split_address(address: str) -> tuple[str, int]:
    """Splits ``host:port`` or ``[ipv6]:port``.

    Raises:
        SettingsError: It is of another form.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    plain = port.isascii() and port.isdigit() and int(port) <= 65_535
    if not colon or not name or not plain or (":" in name) != bracketed:
        raise SettingsError(
            f"{address!r} is no address",
            hint="write HOST:PORT, an IPv6 address in brackets",
            address=address,
        )
    return name, int(port)
