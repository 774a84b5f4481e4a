"""The road of `pipeline.py` as a Dagster project: each step an asset, thin over the library."""
