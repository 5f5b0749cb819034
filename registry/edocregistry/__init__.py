"""The registry: says which agencies exist and with which keys, and never sees a document."""
