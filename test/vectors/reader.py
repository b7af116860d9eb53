"""Reads the test vectors without Sheratan's code: a second implementation of docs/protocol.md, with the standard library only.

    python3 test/vectors/reader.py [folder]

It derives every key from the root key, opens each envelope and seals it again to the same bytes, and computes addresses,
roots and key epochs. For protocol 2 it computes entries, leaves, roots, bodies and HMACs, verifies and decodes signed
statements, and refuses what must be refused. It is written for readability: its ciphers are slow, and not protected against
timing attacks.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

BLOCK = 64
MASK = 0xFFFFFFFF


def must(good, message):
    if not good:
        raise SystemExit(f"The vectors are not correct: {message}.")


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


# Ed25519 (RFC 8032): the public key of a seed, and whether a signature verifies.

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
NEUTRAL = (0, 1, 1, 0)
ORDER = 2**252 + 27742317777372353535851937790883648493


def add(p, q):
    """The sum of two points in extended coordinates."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar, power):
    point = NEUTRAL
    while scalar > 0:
        if scalar & 1:
            point = add(point, power)
        power = add(power, power)
        scalar >>= 1
    return point


def same_point(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point_of(data):
    """The point of 32 bytes (RFC 8032, 5.1.3); None when it does not exist, or y is not below P."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P != 0 or (x == 0 and sign == 1):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def is_key(data):
    """Whether bytes may be a verify key: a point, and not of small order."""
    point = point_of(data) if len(data) == 32 else None
    return point is not None and not same_point(times(8, point), NEUTRAL)


def ed25519_verify(key, message, signature):
    """RFC 8032, 5.1.7, without the cofactor; key and R may not be of small order, S is below the order."""
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or not is_key(key) or not is_key(signature[:32]) or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    return same_point(times(s, BASE), add(point_of(signature[:32]), times(k, point_of(key))))


def check_ed25519():
    """RFC 8032, 7.1, test 2, and the same signature with each part changed."""
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    must(ed25519_verify(key, b"\x72", signature), "RFC 8032's example does not verify")
    must(not ed25519_verify(key, b"\x73", signature), "another message than RFC 8032's verifies")
    more = int.from_bytes(signature[32:], "little") + ORDER
    must(not ed25519_verify(key, b"\x72", signature[:32] + more.to_bytes(32, "little")), "an S above the order verifies")


def ed25519_public(seed):
    bits = bytearray(hashlib.sha512(seed).digest()[:32])
    bits[0] &= 248
    bits[31] = bits[31] & 127 | 64
    point = times(int.from_bytes(bits, "little"), BASE)
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


# crypto_generichash and crypto_kdf_derive_from_key of libsodium, and the part of DAG-CBOR that is needed.


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
    if value is None:
        return b"\xf6"
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, dict):
        members = sorted((cbor(key), cbor(each)) for key, each in value.items())
        return cbor_head(5, len(members)) + b"".join(key + each for key, each in members)
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)


class NotCbor(Exception):
    """Bytes that are not strict DAG-CBOR."""


def cbor_item(data, at):
    """One item at a place, and the place after it."""
    if at >= len(data):
        raise NotCbor("cut short")
    major, value = data[at] >> 5, data[at] & 31
    if data[at] == 0xF6:
        return None, at + 1
    if major > 5 or value > 27:
        raise NotCbor("a tag, a float, a simple value or an indefinite length")
    size = 0 if value < 24 else 1 << value - 24
    start = at + 1 + size
    if size > 0:
        value = int.from_bytes(data[at + 1 : start], "big")
    if cbor_head(major, value) != data[at:start]:
        raise NotCbor("a number is longer than it need be, or cut short")
    if major < 2:
        return (-1 - value if major else value), start
    if major < 4:
        if start + value > len(data):
            raise NotCbor("cut short")
        content = data[start : start + value]
        return (content if major == 2 else content.decode("utf-8")), start + value
    items = []
    for _ in range(value if major == 4 else 2 * value):
        before = start
        item, start = cbor_item(data, start)
        items.append((item, data[before:start]))
    if major == 4:
        return [item for item, _ in items], start
    keys = items[::2]
    if any(not isinstance(key, str) for key, _ in keys):
        raise NotCbor("a key is not text")
    if any(low >= high for (_, low), (_, high) in zip(keys, keys[1:])):
        raise NotCbor("keys are not in order, or one occurs twice")
    return {key: item for (key, _), (item, _) in zip(keys, items[1::2])}, start


def cbor_value(data):
    value, end = cbor_item(data, 0)
    if end != len(data):
        raise NotCbor("bytes follow")
    return value


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


# Protocol 2: entries and roots, signed statements, bodies, HMACs, and what must be refused.

CONTEXTS = {"claim": "claim", "tree": "tree", "treeNotElected": "tree", "head": "head", "headOfNothing": "head"}
MEMBERS = {
    "claim": "epoch host origin writer",
    "tree": "base begun epoch line origin quorum quorumRoot root sequence ts writer",
    "head": "claim damaged host key origin request staged tree ts",
}


def entry_of(etype, ts, eid):
    return struct.pack(">Hq", etype, ts) + eid


def check_entries(vectors):
    entries = []
    for event in vectors["events"]:
        name = f"event {event['sequence']}"
        eid = hashlib.sha256(bytes.fromhex(event["sealed"])).digest()
        same(eid, event["eid"], f"the eid of {name}")
        entries.append(entry_of(event["etype"], event["ts"], eid))
        same(entries[-1], event["entry"], f"the entry of {name}")
        same(hashlib.sha256(b"\x00" + entries[-1]).digest(), event["leaf"], f"the leaf of {name}")
        same(merkle_root(entries), event["root"], f"the root at {name}")
    same(merkle_root([]), vectors["rootOfNothing"], "the root of nothing")
    return [hashlib.sha256().digest(), *(bytes.fromhex(event["root"]) for event in vectors["events"])]


def opened(known, kind, key, name):
    """The pair and the map of a signed statement, after its signature and its encoding are verified."""
    same(known["context"], f"sheratan/2 {kind}\\n", f"the context of {name}")
    content, signature = bytes.fromhex(known["content"]), bytes.fromhex(known["signature"])
    good = ed25519_verify(key, f"sheratan/2 {kind}\n".encode() + content, signature)
    must(good, f"the signature of {name} does not verify")
    value = cbor_value(content)
    same(cbor(value), known["content"], f"{name}, encoded again,")
    same(" ".join(sorted(value)), MEMBERS[kind], f"the members of {name}")
    return [content, signature], value


def check_signed(vectors, roots):
    origin, host = (bytes.fromhex(vectors[f"{who}VerifyKey"]) for who in ("origin", "host"))
    for who, key in (("origin", origin), ("host", host)):
        same(ed25519_public(bytes.fromhex(vectors[f"{who}Seed"])), key.hex(), f"the verify key of the {who}")
    same(hashlib.sha256(host).hexdigest()[:32], vectors["fingerprint"], "the fingerprint")
    things = {
        name: opened(vectors[name], kind, host if kind == "head" else origin, name) for name, kind in CONTEXTS.items()
    }
    for name in ("tree", "treeNotElected"):
        tree = things[name][1]
        same(tree["root"], roots[tree["sequence"]].hex(), f"the root of {name}")
        same(tree["quorumRoot"], roots[tree["quorum"]].hex(), f"the quorum's root of {name}")
        same(tree["begun"], roots[1].hex(), f"where the line of {name} begins")
        must(tree["writer"] == things["claim"][1]["writer"], f"{name} is of another writer than the claim")
    must(things["tree"][1]["sequence"] >= things["tree"][1]["base"], "the tree is not complete")
    same(things["treeNotElected"][1]["base"], 2**53 - 1, "the base of a tree that is not elected")
    same(things["claim"][1]["host"], vectors["fingerprint"], "the host of the claim")
    head, nothing = things["head"][1], things["headOfNothing"][1]
    for member, name in (("tree", "tree"), ("claim", "claim"), ("staged", "treeNotElected")):
        must(head[member] == things[name][0], f"the {member} of the head is another")
    same(head["key"], origin.hex(), "the key that the head has")
    request = hashlib.sha256(bytes.fromhex(vectors["bodies"]["emptyBatch"])).hexdigest()
    same(head["request"], request, "the request of the head")
    same(nothing["request"], vectors["headOfNothing"]["challenge"], "the request of the head of nothing")
    for member in ("key", "tree", "claim", "staged"):
        must(nothing[member] is None, f"the {member} of the head of nothing is not null")
    for name, size in vectors["sizes"].items():
        same(len(things[name][0][0]), size, f"the size of the {name}")
    return {name: pair for name, (pair, _) in things.items()}


def check_bodies(vectors, pairs):
    def event(sequence):
        known = vectors["events"][sequence - 1]
        return {"ts": known["ts"], "etype": known["etype"], "sealed": bytes.fromhex(known["sealed"])}

    claim, tree, key = pairs["claim"], pairs["tree"], bytes.fromhex(vectors["originVerifyKey"])
    bodies = {
        "claim": {"key": key, "claim": claim, "challenge": b"\x09" * 16},
        "emptyBatch": {"from": 4, "tree": tree, "events": []},
        "batchOfOne": {"from": 3, "tree": tree, "events": [event(3)]},
        "mend": {"events": [{**event(2), "sequence": 2}]},
        "head": pairs["head"],
        "fenced": {"code": "FENCED", "claim": claim, "message": "another process was granted epoch 5"},
        "busy": {"code": "BUSY", "wait": 3, "message": "try again"},
    }
    for name, known in vectors["bodies"].items():
        same(cbor(bodies[name]), known, f"the body {name}")
        must(cbor_value(bytes.fromhex(known)) == bodies[name], f"the body {name} decodes to something else")


def check_hmacs(vectors):
    def mac(key, lines):
        return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest()

    def sha(body):
        return hashlib.sha256(bytes.fromhex(vectors["bodies"][body.removeprefix("bodies.")])).hexdigest()

    host, known = vectors["fingerprint"], vectors["hostKey"]
    key = mac(known["authKey"].encode(), ["host/2", host])
    same(key, known["key"], "the key of the host")
    request, answer = vectors["requestHmac"], vectors["answerHmac"]
    lines = ["request/2", host, request["method"], request["path"], request["date"], request["nonce"]]
    same(mac(key, [*lines, sha(request["body"])]), request["hmac"], "the HMAC of the request")
    lines = ["answer/2", host, answer["nonce"], str(answer["status"]), sha(answer["body"])]
    same(mac(key, lines), answer["hmac"], "the HMAC of the answer")


def check_refused(vectors):
    for known in vectors["refused"]:
        why = known["why"]
        if "map" in known:
            try:
                cbor_value(bytes.fromhex(known["map"]))
            except NotCbor:
                continue
            must(False, f"{why} is accepted")
        elif "key" in known:
            must(not is_key(bytes.fromhex(known["key"])), f"{why} is accepted")
        elif "tree" in known:
            tree = opened(known["tree"], "tree", bytes.fromhex(vectors["originVerifyKey"]), why)[1]
            must(tree["sequence"] < tree["base"], f"{why} is complete")
        else:
            event, entry = vectors["events"][0], bytes.fromhex(known["entry"])
            same(entry[10:], event["eid"], f"{why}: the eid")
            same(hashlib.sha256(b"\x00" + entry).digest(), known["leaf"], f"{why}: the leaf")
            must(known["leaf"] != event["leaf"], f"{why} has the same leaf")


def check_protocol(vectors):
    pairs = check_signed(vectors, check_entries(vectors))
    check_bodies(vectors, pairs)
    check_hmacs(vectors)
    check_refused(vectors)
    return len(pairs)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent

    def read(name):
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    check_cipher()
    check_ed25519()
    keys = check_keys(read("keys"))
    envelopes, roots, epochs = read("envelopes"), read("roots")["roots"], read("epochs")
    for known in envelopes:
        check_envelope(keys[known["keyEpoch"]], known)
    check_roots(roots)
    check_epochs(epochs)
    signed = check_protocol(read("protocol-2"))
    counts = f"{len(keys)} data keys, {len(envelopes)} envelopes, {len(roots)} roots"
    print(f"{counts}, {len(epochs['events'])} key epochs and {signed} signed statements are correct.")


if __name__ == "__main__":
    main()
