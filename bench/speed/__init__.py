"""Throughput against the PyTorch loop and every peer, whole jobs in turns."""
