"""What each sharing scheme costs: time of a step, and bytes of weights, gradients and states."""
