"""Schema and generated code of edocnet.office."""
