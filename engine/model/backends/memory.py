"""Whether a runtime's error means that memory ran out: the runtimes have no exception of their own for it."""

_WORDS = ("failed to allocate memory", "out of memory", "status_alloc_failed", "bad_alloc", "bad allocation")
"""Words of ONNX Runtime's arena on every device; CUDA; cuBLAS and cuDNN; C++."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run or a load failed for lack of memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _WORDS)
