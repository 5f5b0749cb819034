"""The services and calls of a node over gRPC; only here and in ``edoccore.wire`` are messages."""
