"""Models: a bundle comes in; texts become tokens, batches, logits, by what is fastest on this machine."""
