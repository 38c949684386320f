"""Training in two processes of one thread against one of two threads, and what checkpoints cost."""
