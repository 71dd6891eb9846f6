"""Whether memory ran out: a runtime's error comes in. The runtimes have no exception of its own for it."""

_WORDS = ("failed to allocate memory", "out of memory", "status_alloc_failed", "bad_alloc", "bad allocation")
"""Of ONNX Runtime's arena on every device; CUDA; cuBLAS and cuDNN; C++."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run or a load failed for want of memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _WORDS)
