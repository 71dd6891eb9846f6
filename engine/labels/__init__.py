"""Labels: what a dataset's labels are, and which of a model's each of them is."""
