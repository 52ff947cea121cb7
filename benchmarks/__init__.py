"""Benchmarks: the bridge and its peers side by side, in one run.

    python -m benchmarks [--quick] [--only NAME ...] [--list]

What is printed are ratios of figures measured in the same run, round after round in turn; the machine's own speed and
its other work are in both sides of each ratio.
"""
