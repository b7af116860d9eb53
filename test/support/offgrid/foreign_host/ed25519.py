"""Ed25519 (RFC 8032) in Python's standard library, with the same verification rules as libsodium.

It is small and does not run in constant time: it is for tests, with keys that protect nothing.
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

# Points are (X, Y, Z, T) with x = X / Z, y = Y / Z and x * y = T / Z.
IDENTITY = (0, 1, 1, 0)


def _add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return (x * y % P, z * t % P, y * z % P, x * t % P)


def _double(a):
    x2, y2, z2 = a[0] * a[0] % P, a[1] * a[1] % P, 2 * a[2] * a[2] % P
    h = x2 + y2
    e = h - (a[0] + a[1]) * (a[0] + a[1]) % P
    g = x2 - y2
    f = z2 + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _negate(a):
    return (P - a[0], a[1], a[2], P - a[3])


def _equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def _x_of(y, sign):
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * ROOT_OF_MINUS_1 % P
        if v * x * x % P != u:
            return None
    return x if x & 1 == sign else (P - x) % P


def _decode(encoded):
    """The point of 32 bytes, or None. A y that is not below P is read modulo P."""
    number = int.from_bytes(encoded, "little")
    y = (number & (2**255 - 1)) % P
    x = _x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def _encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = _decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _powers_of_base():
    powers = [BASE]
    for _ in range(255):
        powers.append(_double(powers[-1]))
    return powers


# With these, signing and the base point's half of a verification need only additions.
POWERS = _powers_of_base()


def _times_base(scalar):
    result = IDENTITY
    for bit, power in enumerate(POWERS):
        if scalar >> bit & 1:
            result = _add(result, power)
    return result


def _times(scalar, point):
    multiples = [IDENTITY]
    for _ in range(15):
        multiples.append(_add(multiples[-1], point))
    result = IDENTITY
    for shift in range(252, -1, -4):
        result = _double(_double(_double(_double(result))))
        result = _add(result, multiples[scalar >> shift & 15])
    return result


def _hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def is_small_order(encoded):
    """Whether these bytes, read modulo P as well, are a point of order 1, 2, 4 or 8."""
    point = _decode(encoded)
    return point is not None and _equal(_double(_double(_double(point))), IDENTITY)


def public_key(seed):
    return _encode(_times_base(_scalars(seed)[0]))


def _scalars(seed):
    digest = hashlib.sha512(seed).digest()
    low = int.from_bytes(digest[:32], "little")
    return (low & ((1 << 254) - 8)) | 1 << 254, digest[32:]


def sign(seed, message):
    scalar, prefix = _scalars(seed)
    key = _encode(_times_base(scalar))
    nonce = _hash(prefix, message) % ORDER
    commitment = _encode(_times_base(nonce))
    response = (nonce + _hash(commitment, key, message) * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")


def verify(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    commitment, response = signature[:32], int.from_bytes(signature[32:], "little")
    if response >= ORDER or is_small_order(commitment) or is_small_order(key):
        return False
    if int.from_bytes(key, "little") & (2**255 - 1) >= P:
        return False
    point = _decode(key)
    if point is None:
        return False
    challenge = _hash(commitment, key, message) % ORDER
    seen = _add(_times_base(response), _negate(_times(challenge, point)))
    return _encode(seen) == commitment
