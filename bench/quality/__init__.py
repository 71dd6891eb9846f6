"""Whether the ranking is right: parity with PyTorch, families of models, planted wrong labels."""
