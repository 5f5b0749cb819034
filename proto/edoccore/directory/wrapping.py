"""The form in which anything of a directory lies in one file.

First line: what it is; second: SHA-256 of the rest, in hex. So a torn or rotten file is told from a
forged one, and the reader can say what to do.
"""

from hashlib import sha256

from edoccore.errors import StorageDamagedError


def wrap(kind: bytes, content: bytes) -> bytes:
    """Puts content into a file of a kind."""
    return b"\n".join((kind, sha256(content).hexdigest().encode("ascii"), content))


def kind_of(data: bytes) -> bytes:
    """What the first line of a file says that it is; any bytes, when it is none of ours."""
    return data.partition(b"\n")[0][:64]


def unwrap(kind: bytes, data: bytes) -> bytes:
    """Takes the content out.

    Raises:
        StorageDamagedError: The file is of another kind, or not whole.
    """
    found, _, rest = data.partition(b"\n")
    digest, _, content = rest.partition(b"\n")
    if found != kind or digest != sha256(content).hexdigest().encode("ascii"):
        raise damaged(kind)
    return content


def damaged(kind: bytes) -> StorageDamagedError:
    """The error for a file that is not whole."""
    return StorageDamagedError(f"The file is not a whole {kind.decode('ascii')}.")
