"""The demonstration: real programs as separate processes, driven as an operator drives them."""
