"""Makes gRPC speak TLS 1.3 only: the first import of every program, before anything of gRPC.

Python gRPC has no setting for the TLS version. Its TLS 1.2 suites can be chosen through the
environment, though, which it reads once, when it is imported: with ECDSA certificates everywhere,
a list of one RSA suite leaves nothing that TLS 1.2 could agree on, while the suites of TLS 1.3
are not affected. A check of the version on every call stands behind this
(``edockit.grpc_peer.require_tls13``).

It also keeps gRPC's own lines off stderr, which belongs to the command and its log; whoever
debugs a connection sets GRPC_VERBOSITY.
"""

import os
import sys

CIPHER_SUITES_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
UNUSABLE_TLS12_SUITE = "ECDHE-RSA-AES256-GCM-SHA384"

_GRPC_CAME_FIRST = "grpc" in sys.modules

os.environ[CIPHER_SUITES_VARIABLE] = UNUSABLE_TLS12_SUITE
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def in_force() -> bool:
    """Tells whether gRPC was imported after this module, so that TLS 1.2 is really off."""
    return not _GRPC_CAME_FIRST
