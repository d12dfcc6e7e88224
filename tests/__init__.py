"""Tests and the benchmark (`python -m tests.bench`); a package, since another distribution installs a `tests`."""
