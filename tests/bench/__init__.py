"""The benchmark: ``python -m tests.bench`` measures, writes ``out/bench.json`` and shows a table.

Every figure is a wall time, a rate or a size of this machine at this moment and says little alone; what
counts are the ratios, whose two sides were measured alternately in one run.
"""
