"""Kubernetes' own controllers, as pure decisions that run on Tandem's engine.

Each module has one ``decide(key, view, now, settings) -> Plan`` (or two, where two kinds share the
rule) and says which Kubernetes controller it stands for. ``catalog`` lists them all for the
embedded cluster. Names of what they create are computed, so that a decision made twice, or from a
stale view, creates nothing twice. Only ``collector`` does I/O: it concerns all resources at once.
"""
