"""Learning curves of a new task: on a trained hierarchy, and from scratch."""
