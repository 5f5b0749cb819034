"""WHERE: who exists, with which keys, reached where, and what may change that."""
