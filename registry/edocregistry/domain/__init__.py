"""What the registry decides: who may enter, which keys count, what is published."""
