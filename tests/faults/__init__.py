"""The fault campaign: the product under load, harmed in every way, and what must hold after each.

`python -m tests.faults` runs it.
"""
