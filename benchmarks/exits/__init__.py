"""What exits save, in blocks and in time."""
