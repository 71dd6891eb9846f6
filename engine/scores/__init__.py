"""Scores from logits: cross-entropy, its multi-label counterpart, and which rows an exact top must score again."""
