"""Training and annotation on one graphics processor, against what it can multiply."""
