"""The export room: a checkpoint comes in, a bundle goes out. The only room that imports torch and transformers."""
