"""Reads the test vectors with nothing of Sheratan's: a second reading of docs/protocol.md, in the standard library only.

    python3 test/vectors/reader.py [folder]

It derives every key from the root, opens each envelope and seals it again to the same bytes, and works out addresses,
roots and key epochs. It is written to be read: its ciphers are slow, and not safe against who can measure their time.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

BLOCK = 64
MASK = 0xFFFFFFFF


def must(good, message):
    if not good:
        raise SystemExit(f"The vectors do not hold: {message}.")


def same(actual, expected, message):
    actual = actual.hex() if isinstance(actual, bytes) else actual
    must(actual == expected, f"{message} is {actual}, not {expected}")


# ChaCha20 and Poly1305 (RFC 8439), XChaCha20 (draft-irtf-cfrg-xchacha).


def rotated(word, bits):
    return (word << bits | word >> (32 - bits)) & MASK


def quarter(s, a, b, c, d):
    s[a] = (s[a] + s[b]) & MASK
    s[d] = rotated(s[d] ^ s[a], 16)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotated(s[b] ^ s[c], 12)
    s[a] = (s[a] + s[b]) & MASK
    s[d] = rotated(s[d] ^ s[a], 8)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotated(s[b] ^ s[c], 7)


def rounds(state):
    s = list(state)
    for _ in range(10):
        for i in range(4):
            quarter(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def initial(key, last):
    return struct.unpack("<16I", b"expand 32-byte k" + key + last)


def chacha20_block(key, counter, nonce):
    state = initial(key, struct.pack("<I", counter) + nonce)
    return struct.pack("<16I", *((a + b) & MASK for a, b in zip(state, rounds(state))))


def chacha20(key, counter, nonce, data):
    out = bytearray()
    for i in range(0, len(data), 64):
        stream = chacha20_block(key, counter + i // 64, nonce)
        out += bytes(a ^ b for a, b in zip(data[i : i + 64], stream))
    return bytes(out)


def hchacha20(key, nonce):
    s = rounds(initial(key, nonce))
    return struct.pack("<8I", *s[:4], *s[12:])


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def tag(key, nonce, aad, ciphertext):
    filled = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    lengths = struct.pack("<QQ", len(aad), len(ciphertext))
    return poly1305(chacha20_block(key, 0, nonce)[:32], filled + lengths)


def encrypt(key, nonce, aad, plaintext):
    """XChaCha20-Poly1305: ciphertext and tag."""
    key, nonce = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    ciphertext = chacha20(key, 1, nonce, plaintext)
    return ciphertext + tag(key, nonce, aad, ciphertext)


def decrypt(key, nonce, aad, sealed):
    key, nonce = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    ciphertext = sealed[:-16]
    must(tag(key, nonce, aad, ciphertext) == sealed[-16:], "a tag is not that of its ciphertext")
    return chacha20(key, 1, nonce, ciphertext)


def check_cipher():
    """The example of draft-irtf-cfrg-xchacha, A.3.1."""
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    sealed = (
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54"
        "c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f6"
        "15c68b13b52ec0875924c1c7987947deafd8780acf49"
    )
    same(encrypt(bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58)), aad, text), sealed, "the draft's example")


# Ed25519 (RFC 8032): the public key of a seed, no more.

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(p, q):
    """The sum of two points in extended coordinates."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def ed25519_public(seed):
    bits = bytearray(hashlib.sha512(seed).digest()[:32])
    bits[0] &= 248
    bits[31] = bits[31] & 127 | 64
    scalar = int.from_bytes(bits, "little")
    point, power = (0, 1, 1, 0), (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
    while scalar > 0:
        if scalar & 1:
            point = add(point, power)
        power = add(power, power)
        scalar >>= 1
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


# What libsodium calls crypto_generichash and crypto_kdf_derive_from_key, and as much of DAG-CBOR as is needed.


def generichash(length, message, key=b""):
    return hashlib.blake2b(message, digest_size=length, key=key).digest()


def derived(key, use, context):
    salt, person = struct.pack("<QQ", use, 0), context + bytes(8)
    return hashlib.blake2b(b"", digest_size=32, key=key, salt=salt, person=person).digest()


def cbor_head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for more, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | more]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(value):
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)


# Keys.

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def recovery_text(root):
    number = int.from_bytes(root + hashlib.sha256(root).digest()[:3], "big")
    digits = "".join(ALPHABET[number >> 5 * i & 31] for i in reversed(range(56)))
    return "-".join(digits[i : i + 4] for i in range(0, 56, 4))


def check_keys(vectors):
    root = bytes.fromhex(vectors["root"])
    same(generichash(16, root), vectors["rootKeyId"], "the root key's id")
    same(derived(root, 2, b"shrtroot"), vectors["signingSeed"], "the signing seed")
    same(ed25519_public(bytes.fromhex(vectors["signingSeed"])), vectors["verifyKey"], "the verify key")
    wrapping = derived(root, 3, b"shrtroot")
    same(wrapping, vectors["wrappingKey"], "the wrapping key")

    keys = {0: derived(root, 1, b"shrtroot")}
    for wrapped in vectors["wrapped"]:
        aad = cbor([1, wrapped["origin"], wrapped["keyEpoch"], wrapped["keyId"]])
        same(aad, wrapped["aad"], "the place of a wrapped key")
        sealed = base64.b64decode(wrapped["wrappedKey"], validate=True)
        key = decrypt(wrapping, sealed[:24], aad, sealed[24:])
        same(generichash(16, key), wrapped["keyId"], "the id of a wrapped key")
        same(encrypt(wrapping, sealed[:24], aad, key), sealed[24:].hex(), "a key wrapped again")
        keys[wrapped["keyEpoch"]] = key

    for known in vectors["dataKeys"]:
        key = keys[known["keyEpoch"]]
        same(key, known["key"], "a data key")
        same(generichash(16, key), known["id"], "the id of a data key")
        same(derived(key, 1, b"sheratan"), known["encrypt"], "what a data key encrypts with")
        same(derived(key, 2, b"sheratan"), known["nonce"], "what a data key makes nonces with")
    for known in vectors["recovery"]:
        same(recovery_text(bytes.fromhex(known["root"])), known["text"], "a recovery key")
    return keys


# Envelopes.


def padded(text):
    data = text.encode() + b"\x80"
    return data + bytes(-len(data) % BLOCK)


def unpadded(data):
    text = data.rstrip(b"\x00")
    must(text[-1:] == b"\x80", "a plaintext is not padded")
    return text[:-1].decode()


def seal(key, aad, text):
    plaintext = padded(text)
    nonce = generichash(24, aad + plaintext, key=derived(key, 2, b"sheratan"))
    sealed = encrypt(derived(key, 1, b"sheratan"), nonce, aad, plaintext)
    return b"\x01" + generichash(16, key) + nonce + sealed


def check_envelope(key, known):
    name = known["name"]
    aad = cbor([1, known["origin"], known["sequence"], known["etype"], known["at"]])
    same(aad, known["aad"], f"the place of {name}")
    envelope = bytes.fromhex(known["envelope"])
    same(envelope[0], 1, f"the version of {name}")
    same(envelope[1:17], generichash(16, key).hex(), f"the key id of {name}")
    same(envelope[17:41], known["nonce"], f"the nonce of {name}")
    plaintext = decrypt(derived(key, 1, b"sheratan"), envelope[17:41], aad, envelope[41:])
    same(plaintext, known["padded"], f"the plaintext of {name}")
    same(unpadded(plaintext), known["text"], f"the text of {name}")
    same(seal(key, aad, known["text"]), known["envelope"], f"{name}, sealed again,")
    same(hashlib.sha256(envelope).digest(), known["eid"], f"the eid of {name}")


# Roots (RFC 6962, 2.1) and key epochs.


def merkle_root(eids):
    if not eids:
        return hashlib.sha256().digest()
    if len(eids) == 1:
        return hashlib.sha256(b"\x00" + eids[0]).digest()
    half = 1 << (len(eids) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + merkle_root(eids[:half]) + merkle_root(eids[half:])).digest()


def check_roots(roots):
    for known in roots:
        eids = [hashlib.sha256(str(i + 1).encode()).digest() for i in range(known["size"])]
        same(merkle_root(eids), known["root"], f"the root over {known['size']} eids")


def check_epochs(vectors):
    for event in vectors["events"]:
        below = [e["keyEpoch"] for e in vectors["epochs"] if e["sequence"] < event["sequence"]]
        epoch = 0 if event["type"] == "KeyRotated" or not below else below[-1]
        same(epoch, event["keyEpoch"], f"the key epoch of sequence {event['sequence']}")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent

    def read(name):
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    check_cipher()
    keys = check_keys(read("keys"))
    envelopes, roots, epochs = read("envelopes"), read("roots")["roots"], read("epochs")
    for known in envelopes:
        check_envelope(keys[known["keyEpoch"]], known)
    check_roots(roots)
    check_epochs(epochs)
    counts = f"{len(keys)} data keys, {len(envelopes)} envelopes, {len(roots)} roots"
    print(f"{counts} and {len(epochs['events'])} key epochs hold.")


if __name__ == "__main__":
    main()
