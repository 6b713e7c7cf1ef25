"""Tokens, keys, and tokens that must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

crypto = pytest.importorskip("cryptography")
jwt = pytest.importorskip("jwt")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa  # noqa: E402

SECRET = "an hmac secret of more than 32 bytes!"


RSA = rsa.generate_private_key(65537, 2048)


OTHER_RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)


EC = ec.generate_private_key(ec.SECP256R1())


ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[no-any-return]


def jwk(key: Any, kid: str | None = None) -> dict[str, Any]:
    names = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next(name for kind, name in names.items() if isinstance(key, kind))
    found: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)  # type: ignore[call-overload]
    return found | {"alg": name} | ({"kid": kid} if kid else {})


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"sub": "u1", "email": "ada@test.example", "iat": now, "exp": now + 300, "aud": "demo-app", "role": "admin"}
    return {name: value for name, value in (found | more).items() if value is not None}


def signed(payload: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **headers: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers or None)


def encoded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogateescape")).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: dict[str, Any], key: bytes | None) -> str:
    """A token that PyJWT would not make."""

    signing = f"{encoded(header)}.{encoded(payload)}"
    signature = b"" if key is None else hmac.digest(key, signing.encode(), hashlib.sha256)
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def twice(payload: dict[str, Any]) -> str:
    """Well signed, and with two subjects."""
    text = json.dumps(payload).replace("{", '{"sub": "somebody", ', 1)
    signing = f"{encoded({'alg': 'RS256', 'typ': 'JWT'})}.{encoded(text)}"
    signature = RSA.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def public_octets(encoding: Any, form: Any) -> bytes:
    octets: bytes = RSA.public_key().public_bytes(encoding, form)
    return octets


TWICE = '{"sub": "a", "sub": "b"}'


DEAD = {
    "no JWT": "opaque",
    "two parts": "a.b",
    "four parts": "e30.e30.e30.e30",
    "no base64": "e30.!.x".replace("!", "*"),
    "a header that is no object": f"{encoded([])}.{encoded({})}.x",
    "a payload that is no object": f"{encoded({})}.{encoded('1')}.x",
    "deeply nested": f"{encoded({})}.{encoded('[' * 3000)}.x",
    "a name twice": f"{encoded({})}.{encoded(TWICE)}.x",
    "not UTF-8": f"{encoded({})}.gICA.x",
    "expired": f"{encoded({})}.{encoded({'exp': 1})}.x",
    "dots": "." * 8000,
    "too long": "a" * 9000,
}


E = serialization.Encoding


F = serialization.PublicFormat


# Cases 1 to 8, by number; each must be refused.
REFUSED: dict[str, Callable[[], str]] = {
    "E-1 alg none": lambda: forged({"alg": "none"}, claims(), None),
    "E-1 alg None": lambda: forged({"alg": "None"}, claims(), None),
    "E-1 alg nOnE": lambda: forged({"alg": "nOnE"}, claims(), None),
    "E-1 alg missing": lambda: forged({}, claims(), None),
    "E-2 HMAC with the public key as PEM": lambda: forged({"alg": "HS256"}, claims(), pem(RSA).encode()),
    "E-2 as DER": lambda: forged({"alg": "HS256"}, claims(), public_octets(E.DER, F.SubjectPublicKeyInfo)),
    "E-2 as JWK": lambda: forged({"alg": "HS256"}, claims(), json.dumps(jwk(RSA)).encode()),
    "E-2 as SSH": lambda: forged({"alg": "HS256"}, claims(), public_octets(E.OpenSSH, F.OpenSSH)),
    "E-3 an algorithm not in the list": lambda: signed(claims(), RSA, "RS512"),
    "E-3 another kind of key": lambda: signed(claims(), EC, "ES256"),
    "E-4 jwk in the header": lambda: signed(claims(), OTHER_RSA, "RS256", jwk=jwk(OTHER_RSA)),
    "E-4 jku in the header": lambda: signed(claims(), OTHER_RSA, "RS256", jku="http://127.0.0.1:9/keys"),
    "E-4 x5u in the header": lambda: signed(claims(), OTHER_RSA, "RS256", x5u="http://127.0.0.1:9/keys"),
    "E-4 x5c in the header": lambda: signed(claims(), OTHER_RSA, "RS256", x5c=["MIIB"]),
    "E-5 unknown crit": lambda: signed(claims(), RSA, "RS256", crit=["exp2"], exp2=1),
    "E-5 b64 false": lambda: signed(claims(), RSA, "RS256", b64=False, crit=["b64"]),
    "E-6 no exp": lambda: signed(claims(exp=None)),
    "E-6 no sub": lambda: signed(claims(sub=None)),
    "E-6 sub empty": lambda: signed(claims(sub="")),
    "E-6 no aud": lambda: signed(claims(aud=None)),
    "E-6 expired": lambda: signed(claims(exp=int(time.time()) - 70)),
    "E-6 nbf to come": lambda: signed(claims(nbf=int(time.time()) + 100)),
    "E-6 iat to come": lambda: signed(claims(iat=int(time.time()) + 100)),
    "E-6 exp infinite": lambda: signed(claims(exp=float("inf"))),
    "E-6 exp NaN": lambda: signed(claims(exp=float("nan"))),
    "E-6 exp a string": lambda: signed(claims(exp="9999999999")),
    "E-6 exp a bool": lambda: signed(claims(exp=True)),
    "E-6 exp 10^30": lambda: signed(claims(exp=10**30)),
    "E-6 nbf a list": lambda: signed(claims(nbf=[1])),
    "E-7 another aud": lambda: signed(claims(aud="other-app")),
    "E-7 aud with ours as a part": lambda: signed(claims(aud="demo-app-2")),
    "E-7 a list without ours": lambda: signed(claims(aud=["a", "b"])),
    "E-8 another typ": lambda: signed(claims(), RSA, "RS256", typ="logout+jwt"),
    "another key": lambda: signed(claims(), OTHER_RSA),
    "kid that is a list": lambda: forged({"alg": "RS256", "kid": ["a"]}, claims(), b"x"),
    "sub that is a number": lambda: forged({"alg": "RS256"}, claims(sub=7), b"x"),
    "a name twice": lambda: twice(claims()),
    "changed": lambda: signed(claims())[:-6] + "AAAAAA",
}
