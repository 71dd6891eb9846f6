"""The doctor: what this machine, its packages and a bundle are like, and whether that is in order."""
