"""The rules every party to the exchange must compute alike.

Pure: no socket, disk, database, clock or randomness; only ``wire`` knows protobuf and gRPC.
"""
