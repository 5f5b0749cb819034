"""Joins the parts of the registry: founding it, changing it, serving it."""
