"""Schema and generated code of edocnet.directory."""
