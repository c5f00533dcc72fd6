"""Tandem's reconciler: everything that observes, decides and applies.

The rooms, from the ground up: ``api`` (types), ``manifests`` and ``decisions`` (pure),
``cluster`` and ``engine`` (the port and the loop), ``agent``, ``embedded`` and
``observability`` (what runs around the loop), ``cli`` (the doors).
"""
