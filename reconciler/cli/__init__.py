"""The ``tandem`` command: one module a command; prints, never decides.

Command modules import the heavy rooms inside their functions, so that ``tandem --help`` and shell
completion answer at once.
"""
