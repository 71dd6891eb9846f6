"""The engine room: runs a bundle over a dataset and gives each row a loss.

Imports numpy, pyarrow, datasets, tokenizers and ONNX Runtime; never torch, transformers, optimum or click.
"""
