"""Writes a checkpoint's ONNX graph from its config.json and safetensors, without torch or transformers."""
