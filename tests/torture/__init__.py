"""Torture: audits are killed, their disks filled and their files spoilt; every time the table must come out whole."""
