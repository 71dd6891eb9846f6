"""The engine room: runs a bundle over a dataset. Rows come in, losses go out.

Imports numpy, pyarrow, datasets, tokenizers and ONNX Runtime; never torch, transformers, optimum or click.
"""
