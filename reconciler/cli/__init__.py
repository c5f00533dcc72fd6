"""The ``tandem`` command: one module a command; prints, never decides."""
