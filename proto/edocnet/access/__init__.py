"""Schema and generated code of edocnet.access."""
