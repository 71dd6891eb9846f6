"""The export room: makes a bundle from a fine-tuned checkpoint.

The only room (with `bench/` and the tests) that imports torch, transformers and optimum.
"""
