"""The API that Tandem speaks: attrs types of every kind, their defaults and their validation.

``crds/*.yaml`` are generated from here. Pure: no I/O, no clock.
"""
