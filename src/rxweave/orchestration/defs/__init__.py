"""Assets by stage and their checks.

These modules leave out `from __future__ import annotations`: Dagster wants to see the types of `context` themselves.
"""
