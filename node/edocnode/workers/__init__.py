"""The loops that drive the domain: sealing, delivery, receiving, the directory."""
