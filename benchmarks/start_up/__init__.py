"""What a user waits for before the first result."""
