"""Rules to messages and back; the only part of the core that knows protobuf and gRPC."""
