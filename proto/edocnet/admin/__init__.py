"""Schema and generated code of edocnet.admin."""
