"""Datasets: files, folders and hub names come in, Arrow tables of rows and their texts go out."""
