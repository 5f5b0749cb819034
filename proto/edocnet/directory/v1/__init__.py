"""Schema and generated code of edocnet.directory.v1."""
