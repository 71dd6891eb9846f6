"""Memory and time by the number of rows, and the review page's response."""
