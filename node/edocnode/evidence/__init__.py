"""Evidence bundles: written from what a node holds, verified with no node at all."""
