"""aidp's benchmarks: ``python -m bench`` runs all of them, ``python -m bench router`` one. Never part of the tests.

What is measured is CPU time, which the operating system counts per process, and memory: a busy machine changes both
little. Wall time is shown for orientation only, except where it is the point (how soon an aborted call ends).
"""
