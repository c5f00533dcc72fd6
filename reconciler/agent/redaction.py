"""Takes secrets out of text, before it is logged, reported or raised.

Called by the runner on every line that a tool prints; nothing that a tool wrote leaves the agent
without passing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import attrs

MASK = "***"
_SHORT = 4
_SECRET_KEYS = re.compile(r"PASS|SECRET|KEY|TOKEN|CREDENTIAL|AUTH$|\.pem$", re.IGNORECASE)
_PUBLIC_KEYS = frozenset({"ST_AUTH", "CA_CERT_DATA", "OS_APPLICATION_CREDENTIAL_NAME"})


@attrs.frozen
class Redactor:
    """Replaces every known secret by ``***``."""

    _pattern: re.Pattern[str] | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Redactor:
        """For these values. One of less than four characters is replaced as a whole word only."""
        forms = {form for secret in secrets for form in _forms(secret)}
        if not forms:
            return cls()
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        return cls(re.compile("|".join(_expression(form) for form in longest_first)))

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def secret_values(secret: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a Secret that must not be seen: by the names of its keys."""
    return tuple(
        value
        for key, value in secret.items()
        if _SECRET_KEYS.search(key) and key not in _PUBLIC_KEYS
    )


def _forms(secret: str) -> set[str]:
    """A secret as it may be printed: whole, line by line, or escaped in a URL."""
    lines = {line.strip() for line in secret.splitlines()}
    plain = {part for part in (secret, secret.strip(), *lines) if part.strip(' \t\n{}[]",')}
    return plain | {quote(part, safe="") for part in plain}


def _expression(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"
