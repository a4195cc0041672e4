"""Measurements of factorkit against its peers: ``python -m benchmarks.FAMILY``."""
