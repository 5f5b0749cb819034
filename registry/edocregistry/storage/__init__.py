"""The records of the registry in SQLite, its key files and the published files of the directory."""
