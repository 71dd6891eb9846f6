"""Datasets: reads files, folders and hub names as Arrow tables of rows, and the texts in them."""
