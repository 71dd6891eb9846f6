"""What a command sets for its whole process, before it imports the libraries that it is for."""

import os


def go_offline() -> None:
    """Forbids the hub. Call it before the libraries that would ask one are imported."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def free_memory_at_once() -> None:
    """Arrow's own allocator keeps what it frees; the system's needs a fifth less over an audit."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
