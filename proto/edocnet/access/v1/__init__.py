"""Schema and generated code of edocnet.access.v1."""
