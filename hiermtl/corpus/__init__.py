"""Sentences in memory-mapped Arrow files, encoded once, and the view the training loop reads."""
