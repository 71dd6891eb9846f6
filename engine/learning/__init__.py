"""What decisions teach about the other rows: evidence from a losses table comes in, a probability per row goes out."""
