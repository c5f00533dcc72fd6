"""The one tree of errors that Tandem raises.

::

    TandemError
    ├── TemporaryError          try again, with back-off
    │   └── ApiUnavailable      no answer, or 429/5xx, from the API server
    ├── TerminalError           trying again is useless until somebody changes something
    │   ├── InvalidObject       bad input; carries every fault with its path
    │   ├── Forbidden           401/403: a missing permission
    │   │   └── NamespaceTerminating  403: nothing new in a namespace that is being deleted
    │   ├── Rejected            400/405/415/422: the API server refuses the request as such
    │   ├── TimedOut            a command in a container did not end in the time that it was given
    │   └── ToolMissing         a program that the data side needs is not installed
    ├── NotFound                the object is not there
    ├── AlreadyExists           the name is taken: somebody else created it first
    ├── Conflict                the object changed since it was read: read again, decide again
    └── Gone                    410: the resourceVersion is too old; list again

Everything in ``reconciler`` may import this module; it imports nothing of ours.
No message may contain a secret.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs


class TandemError(Exception):
    """The root: catch this to catch everything that Tandem raises on purpose."""


class TemporaryError(TandemError):
    """A fault that may heal by itself. The queue retries it with back-off."""


class ApiUnavailable(TemporaryError):  # noqa: N818 -- reads as a state of the world
    """The API server gave no answer, or asked for patience (429, 5xx)."""


class TerminalError(TandemError):
    """A fault that only a changed object, permission or machine can heal."""


class Forbidden(TerminalError):  # noqa: N818 -- Kubernetes' own term
    """The caller lacks a permission (401, 403)."""


class NamespaceTerminating(Forbidden):
    """Nothing can be created in a namespace that is being deleted: everyday life, not a fault."""


class Rejected(TerminalError):  # noqa: N818 -- Kubernetes' own term
    """The API server refuses the request (400, 405, 415, 422); the message is the server's."""


class TimedOut(TerminalError):  # noqa: N818 -- reads as a state of the world
    """A command in a container did not end in time; it may go on there."""


class ToolMissing(TerminalError):  # noqa: N818 -- reads as a state of the world
    """A program is not installed; the message names it and how to install it."""


class NotFound(TandemError, LookupError):  # noqa: N818 -- Kubernetes' own term
    """The object does not exist (404)."""


class AlreadyExists(TandemError):  # noqa: N818 -- Kubernetes' own term
    """An object of this name exists (409 AlreadyExists)."""


class Conflict(TandemError):  # noqa: N818 -- Kubernetes' own term
    """The precondition on resourceVersion or uid failed (409 Conflict)."""


class Gone(TandemError):  # noqa: N818 -- Kubernetes' own term
    """The resourceVersion has been compacted away (410)."""


@attrs.frozen
class Fault:
    """One thing that is wrong with an input.

    ``path`` is a field path such as ``spec.members[2].target.paths``; ``value`` is its value as
    found (never a secret), or None; ``problem`` says what is wrong; ``remedy`` says what to do.
    """

    path: str
    problem: str
    remedy: str = ""
    value: object = None

    def __str__(self) -> str:
        found = "" if self.value is None else f" (found {self.value!r})"
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.path}: {self.problem}{found}{remedy}"


class InvalidObject(TerminalError, ValueError):  # noqa: N818 -- reads as a state of the world
    """An object that cannot be used. ``subject`` is ``Kind namespace/name``; ``faults`` are all."""

    def __init__(self, subject: str, faults: Sequence[Fault]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        super().__init__(f"{subject}: " + "; ".join(str(fault) for fault in faults))
