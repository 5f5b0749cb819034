"""Checks signatures in parts, in a process of its own; offline.

Needs the extra ``signatures`` (pyHanko, signxml, lxml), which nothing here imports before it is
asked to check something. What the facts are worth is decided in ``edocnode.domain.signatures``.
"""
