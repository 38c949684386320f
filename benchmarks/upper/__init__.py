"""The upper levels: what rules without learning score, and what the levels add to annotating."""
