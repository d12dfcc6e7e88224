"""The part of ``slipway.host.state`` that runs on the host: observe, compare, act.

The action plugin sends these modules over standard input to ``python3 -I -S`` on the host, so they
use the standard library of Python 3.11 only and leave no file behind. They are an ordinary package
as well, which is how the tests run them.

Imports are few on purpose. The host trades while this runs, and what an idle converge costs it is
mostly imports: dataclasses 15 ms of CPU, subprocess 14 ms, pathlib and typing 8 ms each.
"""
