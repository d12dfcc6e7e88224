"""Tests are a package so that the benchmark runs as a module: python -m tests.bench."""
