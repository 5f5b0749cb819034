"""Limits that both ends of a connection have: callers and servers."""

MAX_MESSAGE_BYTES = 1024 * 1024  # either direction; over it the call ends at the 5-byte header
MAX_METADATA_BYTES = 8_192
IDENTITY_COMPRESSION_ONLY = 1  # bit set; gzip of 512 MiB of zeros is refused, unread
# While a call is under way, a connection on which nothing came for 2 s is asked whether it lives,
# and ended after 4.5 s in all. gRPC asks by itself when data come, not when there is only silence:
# with a keepalive of 10 s a connection that went dark at rest was noticed after 13 s.
KEEPALIVE_TIME_MS = 2_000
KEEPALIVE_TIMEOUT_MS = 2_000
PING_TIMEOUT_MS = 2_500  # without it, 60 s go by before a ping without an answer ends it
# gRPC measures the line and lets a peer run ahead by as much; on a busy machine it measured 4 GB,
# which one flooding peer then had in memory here.
UNREAD_BYTES = 2 * 1024 * 1024  # of one stream; 60 MB/s at a delay of 30 ms

Option = tuple[str, int]

FLOW_CONTROL: tuple[Option, ...] = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", UNREAD_BYTES),
)
