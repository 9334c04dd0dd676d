"""Verifies the signature of a request (RFC 9421, hmac-sha256) and the digest of its body (RFC 9530)."""

import hmac
import re
from base64 import b64encode
from hashlib import sha256

MAX_AGE = 5 * 60  # seconds, and as far ahead: clocks differ
# What a signature must cover where the request has it: all that changes what the request does.
COVERED = ("content-digest", "idempotency-key", "if-match", "erp-company")


def is_valid(method: str, target: str, headers: dict[str, str], body: bytes, keys: list[bytes], now: float) -> bool:
    """Whether the request is signed with one of the keys. `target` is its whole address, `headers` have names in small letters, and
    `now` is in Unix seconds."""
    given = re.fullmatch(r"norce=:([A-Za-z0-9+/]+=*):", headers.get("signature", ""))
    signed = re.fullmatch(r'norce=(\(([^()]*)\);created=([0-9]{1,12});keyid="norce";alg="hmac-sha256")', headers.get("signature-input", ""))
    if not given or not signed:
        return False
    parameters, list_, created = signed.groups()
    values = {**headers, "@method": method, "@target-uri": target}
    names = re.findall('"([^"]*)"', list_)
    required = ["@method", "@target-uri", *(name for name in COVERED if name in headers)]
    if abs(now - int(created)) > MAX_AGE or not set(required) <= set(names) or not set(names) <= values.keys():
        return False
    # The signature is of the digest alone, which therefore has to be the body's.
    if (body or "content-digest" in headers) and headers.get("content-digest") != f"sha-256=:{_base64(sha256(body).digest())}:":
        return False
    base = "".join(f'"{name}": {values[name].strip()}\n' for name in names) + f'"@signature-params": {parameters}'
    # In constant time: how long a plain comparison takes says how much of a guess is right.
    return any(hmac.compare_digest(given[1], _base64(hmac.digest(key, base.encode(), sha256))) for key in keys)


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
