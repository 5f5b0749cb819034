"""Schema and generated code of edocnet.admin.v1."""
