"""The losses table: its columns, its files, its ranking, and what a summary counts in it."""
