"""Numbers of logits: cross-entropy, its multi-label kin, and which rows an exact top must score again."""
