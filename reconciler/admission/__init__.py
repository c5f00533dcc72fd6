"""The optional admission webhook: what an API server asks before it stores an object of Tandem's.

Used by ``tandem webhook`` only; the operator neither needs it nor knows of it. It answers with the
rules of ``reconciler.api`` and adds none: whatever it denies, the operator would tell in a
condition. It keeps its own certificates, and writes nothing else.
"""
