"""Labels: reads those that a dataset gives, and matches them with the model's."""
