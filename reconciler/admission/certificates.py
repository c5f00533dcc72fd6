"""Which certificates there must be: a CA of the webhook's own, and one for its servers.

``decide`` is the whole rule, and level-triggered: from what is stored, the names and the time it
says what must be stored. Called by ``keeper``. Only making a key is left to chance; nothing here
reads a clock, a file or an API server, and no key is ever shown (``repr`` leaves it out).

A change of the CA costs no request. Its successor is first *announced*: the bundle that API
servers trust has both. After ``SETTLING`` it signs the serving certificate, and the predecessor
stays in the bundle until every replica has read that. So at each moment whatever certificate a
replica still serves is trusted.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE: Final = dt.timedelta(days=730)
SERVING_LIFE: Final = dt.timedelta(days=90)
SETTLING: Final = dt.timedelta(minutes=10)
"""So long after a change of the Secret every replica has read it, and every API server the bundle:
many times the ``keeper``'s period."""
SKEW: Final = dt.timedelta(hours=1)
"""A certificate is valid from a little before it was made: clocks differ."""

_CA: Final = ("ca.crt", "ca.key")
_NEXT: Final = ("next-ca.crt", "next-ca.key")
_PREVIOUS: Final = "previous-ca.crt"
_SERVING: Final = ("tls.crt", "tls.key")


@attrs.frozen
class Pair:
    """A certificate and its key, both in PEM."""

    certificate: str
    key: str = attrs.field(repr=False)

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())


@attrs.frozen
class Keyring:
    """Everything that is stored."""

    ca: Pair
    serving: Pair
    next_ca: Pair | None = None
    """Announced, and not used yet."""
    previous_ca: str = ""
    """The certificate of the CA that signed before."""

    @property
    def bundle(self) -> str:
        """What API servers must trust."""
        announced = self.next_ca.certificate if self.next_ca else ""
        return self.ca.certificate + announced + self.previous_ca


@attrs.frozen
class Decision:
    """What must be stored, and why it differs from what is; "": it does not."""

    keyring: Keyring
    why: str = ""


def decide(stored: Keyring | None, names: Sequence[str], now: dt.datetime) -> Decision:
    """The certificates that there must be now."""
    if stored is None:
        return Decision(_new(names, now), "there are none that can be used")
    if stored.ca.parsed.not_valid_after_utc <= now:
        return Decision(_new(names, now), "the CA has expired")
    ring, why = _next_step(stored, now)
    reason = _unfit(ring, names, now)
    if reason:
        ring = attrs.evolve(ring, serving=_serving(ring.ca, names, now))
    return Decision(ring, "; ".join(filter(None, (why, reason))))


def _next_step(ring: Keyring, now: dt.datetime) -> tuple[Keyring, str]:
    """One step of the CA's change, if its time has come."""
    if ring.next_ca is not None:
        if now < _made(ring.next_ca) + SETTLING:
            return ring, ""
        promoted = attrs.evolve(
            ring, ca=ring.next_ca, next_ca=None, previous_ca=ring.ca.certificate
        )
        return promoted, "the next CA is known everywhere and signs from now on"
    if _is_old(ring.ca, now):
        return attrs.evolve(ring, next_ca=_authority(now)), "the CA grows old: its successor"
    if ring.previous_ca and now >= _made(ring.serving) + SETTLING:
        return attrs.evolve(ring, previous_ca=""), "nobody serves under the previous CA any more"
    return ring, ""


def _unfit(ring: Keyring, names: Sequence[str], now: dt.datetime) -> str:
    """Why the serving certificate will not do."""
    if not _is_signed_by(ring.serving, ring.ca):
        return "the serving certificate is of another CA"
    if _names(ring.serving) != sorted(names):
        return "the serving certificate is for other names"
    if _is_old(ring.serving, now):
        return "the serving certificate grows old"
    return ""


def _made(pair: Pair) -> dt.datetime:
    return pair.parsed.not_valid_before_utc + SKEW


def _is_old(pair: Pair, now: dt.datetime) -> bool:
    """Two thirds of its life are over: time enough to notice that it is not renewed."""
    end = pair.parsed.not_valid_after_utc
    return now >= end - (end - _made(pair)) / 3


def _is_signed_by(pair: Pair, ca: Pair) -> bool:
    try:
        pair.parsed.verify_directly_issued_by(ca.parsed)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(pair: Pair) -> list[str]:
    found = pair.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(each.value) for each in found)


# -- making them ----------------------------------------------------------------------------------


def _new(names: Sequence[str], now: dt.datetime) -> Keyring:
    ca = _authority(now)
    return Keyring(ca, _serving(ca, names, now))


def _authority(now: dt.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # a subject of its own: of two CAs of one name, OpenSSL may try the wrong one
    name = _named(f"tandem-webhook-ca-{x509.random_serial_number():x}"[:64])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(name, name, key, now, now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def _serving(ca: Pair, names: Sequence[str], now: dt.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = _private_key(ca)
    end = min(now + SERVING_LIFE, ca.parsed.not_valid_after_utc)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        _builder(_named("tandem-webhook"), ca.parsed.subject, key, now, end)
        .add_extension(issued_by, critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_alternative, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    made: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made - SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(pem).decode(), private.decode())


# -- the Secret -----------------------------------------------------------------------------------


def read(data: Mapping[str, str]) -> Keyring | None:
    """The certificates in a Secret's ``data``; None: they are not all there, or not usable."""
    try:
        plain = {key: base64.b64decode(text).decode() for key, text in data.items()}
        found = Keyring(
            ca=Pair(*_both(plain, _CA)),
            serving=Pair(*_both(plain, _SERVING)),
            next_ca=Pair(*_both(plain, _NEXT)) if _NEXT[0] in plain else None,
            previous_ca=plain.get(_PREVIOUS, ""),
        )
        _check(found)
    except (KeyError, ValueError, TypeError, x509.ExtensionNotFound):
        return None
    return found


def written(ring: Keyring) -> dict[str, str]:
    """The ``data`` of a Secret that holds them."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in _texts(ring) if text}


def _both(plain: Mapping[str, str], keys: tuple[str, str]) -> tuple[str, str]:
    return plain[keys[0]], plain[keys[1]]


def _texts(ring: Keyring) -> Iterator[tuple[str, str]]:
    pairs = {_CA: ring.ca, _SERVING: ring.serving, _NEXT: ring.next_ca}
    for (certificate, key), pair in pairs.items():
        yield certificate, pair.certificate if pair else ""
        yield key, pair.key if pair else ""
    yield _PREVIOUS, ring.previous_ca


def _check(ring: Keyring) -> None:
    """Raises what ``read`` catches for what is no certificate, or has another's key."""
    for pair in filter(None, (ring.ca, ring.serving, ring.next_ca)):
        if pair.parsed.public_key() != _private_key(pair).public_key():
            raise ValueError("a key is not that of its certificate")
    _names(ring.serving)
    if ring.previous_ca:
        x509.load_pem_x509_certificate(ring.previous_ca.encode())


def _private_key(pair: Pair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key of the kind that is made here")
    return key
