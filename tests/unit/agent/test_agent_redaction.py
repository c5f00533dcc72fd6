"""No secret in what tools have printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent.redaction import Redactor, secret_values

PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4)


@given(secret=PLAIN, before=st.text(), after=st.text())
def test_a_secret_is_gone_wherever_it_stands(secret, before, after) -> None:
    said = Redactor.of([secret])(f"{before}{secret}{after}")
    assert secret not in said.replace("***", "")


def test_a_short_secret_goes_as_a_word_and_leaves_other_words_whole() -> None:
    assert Redactor.of(["ab"])("ab cab ab: -ab-") == "*** cab ***: -***-"


@pytest.mark.parametrize("said", ["p%40ss%2Fword", "p@ss/word", "xp@ss/wordx"])
def test_a_secret_escaped_in_a_url_is_gone_too(said) -> None:
    assert "p" not in Redactor.of(["p@ss/word\n"])(said).replace("x", "")


def test_every_line_of_a_key_is_a_secret() -> None:
    key = '{\n  "private_key": "AAAABBBB"\n}\n'
    assert "AAAABBBB" not in Redactor.of([key])('log: "private_key": "AAAABBBB" !')


def test_without_secrets_the_text_is_left_alone() -> None:
    assert Redactor.of([])("text") == "text"
    assert Redactor.of(["", "\n"])("text\n") == "text\n"


def test_keys_tell_which_values_are_secret() -> None:
    secret = {
        "RESTIC_PASSWORD": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "OS_AUTH_TOKEN": "c",
        "password": "d",
        "REST_SERVER_USERNAME": "user",
        "GOOGLE_PROJECT_ID": "p",
        "ST_AUTH": "http://x",
        "CA_CERT_DATA": "pem",
        "OS_REGION_NAME": "r",
    }
    assert set(secret_values(secret)) == {"a", "b", "c", "d"}
