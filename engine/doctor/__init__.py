"""The doctor: describes this machine, its packages and a bundle, and checks whether they are in order."""
