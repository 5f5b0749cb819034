"""What the registry does without being asked."""
