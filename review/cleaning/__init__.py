"""Copies an audited dataset with the decided labels: each module knows one form, and keeps all else as it is."""
