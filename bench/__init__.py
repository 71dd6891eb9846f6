"""Benchmarks: speed and parity against PyTorch and the peers. Run from the checkout, never installed."""
