"""Tandem's state machines: literal tables, proven before anything runs on them.

Pure: imports ``attrs`` and ``transitions`` and nothing of ours; no I/O, clock, randomness or
Kubernetes.
"""
