"""Models: bundles, and turning texts into tokens, batches and logits in the fastest way on this machine."""
