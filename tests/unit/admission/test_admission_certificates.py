"""Which certificates there are, at any moment of their lives."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import ssl

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from reconciler.admission import certificates
from reconciler.admission.certificates import (
    CA_LIFE,
    SERVING_LIFE,
    SETTLING,
    Keyring,
    Pair,
    decide,
)

NOW = dt.datetime(2026, 3, 2, 2, 30, tzinfo=dt.UTC)
NAMES = ("tandem-webhook.tandem.svc", "127.0.0.1")
MINUTE = dt.timedelta(minutes=1)


def trusted(pair: Pair, bundle: str) -> bool:
    """By the rules of X.509: signed by one of the bundle."""
    for ca in x509.load_pem_x509_certificates(bundle.encode()):
        if ca.subject == pair.parsed.issuer:
            pair.parsed.verify_directly_issued_by(ca)
            return True
    return False


def fresh(now: dt.datetime = NOW) -> Keyring:
    return decide(None, NAMES, now).keyring


def test_where_there_are_none_all_are_made() -> None:
    decision = decide(None, NAMES, NOW)

    assert decision.why
    assert trusted(decision.keyring.serving, decision.keyring.bundle)
    names = decision.keyring.serving.parsed.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value
    assert sorted(str(each.value) for each in names) == sorted(NAMES)


def test_what_was_made_is_left_alone() -> None:
    ring = fresh()
    assert decide(ring, NAMES, NOW + SETTLING) == certificates.Decision(ring)


def test_a_certificate_is_valid_for_clocks_that_are_late() -> None:
    assert fresh().serving.parsed.not_valid_before_utc < NOW - 30 * MINUTE


@pytest.mark.parametrize(
    ("names", "later", "why"),
    [
        (("another.tandem.svc",), MINUTE, "other names"),
        (NAMES, SERVING_LIFE * 0.7, "grows old"),
        (NAMES, SERVING_LIFE * 2, "grows old"),
    ],
)
def test_the_serving_certificate_is_renewed_in_time_and_for_its_names(
    names: tuple[str, ...], later: dt.timedelta, why: str
) -> None:
    old = fresh()

    decision = decide(old, names, NOW + later)

    assert why in decision.why
    assert decision.keyring.ca == old.ca
    assert decision.keyring.serving != old.serving
    assert trusted(decision.keyring.serving, old.bundle)
    assert not decide(decision.keyring, names, NOW + later).why


def test_a_serving_certificate_of_another_ca_is_replaced() -> None:
    mixed = attrs.evolve(fresh(), serving=fresh().serving)
    decision = decide(mixed, NAMES, NOW)
    assert "another CA" in decision.why
    assert trusted(decision.keyring.serving, decision.keyring.bundle)


def test_an_expired_ca_is_replaced_at_once_with_everything_below_it() -> None:
    decision = decide(fresh(), NAMES, NOW + CA_LIFE)
    assert decision.why == "the CA has expired"
    assert trusted(decision.keyring.serving, decision.keyring.bundle)


def test_a_serving_certificate_does_not_outlive_its_ca() -> None:
    ring = fresh()
    later = NOW + CA_LIFE - MINUTE
    assert decide(ring, NAMES, later).keyring.serving.parsed.not_valid_after_utc <= NOW + CA_LIFE


def test_a_ca_is_changed_without_a_moment_in_which_a_replica_is_not_trusted() -> None:
    """Replicas and API servers read what is stored a little late: each may see old or new."""
    states, now = [(NOW, fresh())], NOW
    while now < NOW + 2 * CA_LIFE:
        decision = decide(states[-1][1], NAMES, now)
        if decision.why:
            states.append((now, decision.keyring))
        settled = now > states[-1][0] + 2 * SETTLING
        now += dt.timedelta(hours=8) if settled else MINUTE

    assert len({state.ca.certificate for _, state in states}) > 2, "the CA was never changed"
    assert max(state.bundle.count("BEGIN") for _, state in states) == 2
    for one, other in itertools.permutations(range(len(states)), 2):
        if _overlap(states, *sorted((one, other))):
            assert trusted(states[one][1].serving, states[other][1].bundle), (one, other)


def _overlap(states: list[tuple[dt.datetime, Keyring]], first: int, later: int) -> bool:
    """Whether one process may still see the first state when another sees the later one."""
    replaced, begins = states[first + 1][0], states[later][0]
    return begins < replaced + SETTLING - MINUTE


def test_a_successor_does_not_sign_before_it_is_known() -> None:
    old = NOW + CA_LIFE * 0.7
    announced = decide(fresh(), NAMES, old).keyring

    assert announced.next_ca is not None
    assert decide(announced, NAMES, old + SETTLING - MINUTE).keyring.ca == announced.ca
    assert decide(announced, NAMES, old + SETTLING).keyring.ca == announced.next_ca


# -- the Secret -----------------------------------------------------------------------------------


def test_what_is_written_is_read_back() -> None:
    ring = fresh()
    changing = attrs.evolve(ring, next_ca=fresh().ca, previous_ca=fresh().ca.certificate)
    for each in (ring, changing):
        assert certificates.read(certificates.written(each)) == each


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "damage",
    [
        {"tls.key": None},
        {"ca.crt": None},
        {"tls.crt": encoded("no certificate")},
        {"ca.key": encoded("no key")},
        {"tls.key": "%"},
        {"tls.key": base64.b64encode(b"\xff").decode()},
        {"next-ca.crt": encoded("no certificate"), "next-ca.key": encoded("no key")},
        {"previous-ca.crt": encoded("no certificate")},
        {"tls.key": certificates.written(fresh())["tls.key"]},
        {"tls.crt": certificates.written(fresh())["ca.crt"]},
    ],
)
def test_a_damaged_secret_counts_as_none(damage: dict[str, str | None]) -> None:
    data = {**certificates.written(fresh()), **damage}
    assert certificates.read({k: v for k, v in data.items() if v is not None}) is None


def test_a_certificate_without_names_counts_as_none() -> None:
    ring = fresh()
    assert certificates.read(certificates.written(attrs.evolve(ring, serving=ring.ca))) is None


def test_a_key_of_another_kind_counts_as_none() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    data = {**certificates.written(fresh()), "tls.key": encoded(pem.decode())}
    assert certificates.read(data) is None


def test_no_key_is_ever_shown() -> None:
    ring = fresh()
    assert "PRIVATE" not in repr(attrs.evolve(ring, next_ca=ring.ca))


def test_python_trusts_what_is_made() -> None:
    """With the strict rules that Python 3.13 has by default."""
    context = ssl.create_default_context(cadata=fresh().bundle)
    assert context.cert_store_stats()["x509_ca"] == 1
