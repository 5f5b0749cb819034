"""Plumbing that both programs share and that knows nothing of documents or agencies."""
