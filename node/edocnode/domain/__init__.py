"""What a node decides; pure. Time, ids and directory are arguments, I/O is behind ``ports``."""
