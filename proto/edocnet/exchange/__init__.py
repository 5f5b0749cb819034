"""Schema and generated code of edocnet.exchange."""
