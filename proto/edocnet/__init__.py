"""The schema of the exchange and the code generated from it; nothing else."""
