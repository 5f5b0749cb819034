"""Schema and generated code of edocnet.exchange.v1."""
