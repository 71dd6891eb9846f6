"""The export room: turns checkpoints into bundles. The only room that imports torch and transformers."""
