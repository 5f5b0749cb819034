"""Builds the parts of a node and joins them; the only place that knows them all."""
