"""Settings of a command's whole process, made before the libraries that they affect are imported."""

import os


def go_offline() -> None:
    """Forbids access to the hub. Call it before importing the libraries that would use the hub."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def free_memory_at_once() -> None:
    """Switches Arrow to the system's allocator: an audit needs a fifth less, since Arrow's own keeps freed memory."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
