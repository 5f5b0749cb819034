"""Bytes from outside against every parser: see tests/README.md, Fuzzing."""
