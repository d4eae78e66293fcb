"""Exact and near-duplicate documents: hashes, MinHash signatures, bands, clusters."""
