"""Runs: the audit, shard by shard, here or on a cluster, kept so that it can be resumed."""
