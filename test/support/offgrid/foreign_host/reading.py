"""The reads that a host answers, and the damage that it finds when it reads its disk."""

import re
import time
from urllib.parse import parse_qs

import dag_cbor
import ed25519
import forms
from merkle import entry_of, leaf_of
from storage import HEAD, STAGED, is_intact

DIGITS = re.compile(r"[0-9]{1,16}\Z")
CHALLENGE = re.compile(r"[0-9a-f]{64}\Z")
ENTRY_BYTES = 42


def query_of(text):
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise forms.bad_request("the query cannot be read") from error


def text_of(query, name, default=None):
    """A parameter of the query; unknown parameters are ignored."""
    values = query.get(name, [default])
    if len(values) > 1:
        raise forms.bad_request(f"{name} occurs twice")
    return values[0]


def number_of(query, name, low, high, default=None):
    value = text_of(query, name)
    if value is None and default is not None:
        return default
    if value is None or not DIGITS.match(value) or not low <= int(value) <= high:
        raise forms.bad_request(f"{name} is not a number from {low} to {high}")
    return int(value)


def part_of(query):
    of = text_of(query, "of", "head")
    if of not in ("head", "staged"):
        raise forms.bad_request("of is neither head nor staged")
    return HEAD if of == "head" else STAGED


def damaged_in(origin):
    """The sequences of the head's events that are known to be damaged."""
    if origin.broken:
        return range(1, origin.head.sequence + 1)
    return sorted(origin.damaged)


def head(host, name, request):
    """The signed head over 32 bytes that the caller chose."""
    origin = host.origins.get(name)
    thing = {
        "ts": int(time.time() * 1000),
        "key": None if origin is None else origin.key,
        "host": host.fingerprint,
        "tree": None if origin is None or origin.head is None else origin.head.thing,
        "claim": None if origin is None else origin.claim.thing,
        "origin": name,
        "staged": None if origin is None or origin.staged is None else origin.staged.thing,
        "damaged": 0 if origin is None else len(damaged_in(origin)),
        "request": request,
    }
    content = dag_cbor.encode(thing)
    return dag_cbor.encode([content, ed25519.sign(host.seed, forms.HEAD + content)])


def challenged_head(host, name, query):
    challenge = text_of(query, "challenge", "")
    if not CHALLENGE.match(challenge):
        raise forms.bad_request("challenge is not 64 hexadecimal digits")
    return head(host, name, bytes.fromhex(challenge))


def roots(host, name, query):
    at = number_of(query, "at", 0, forms.LAST_SEQUENCE)
    origin = host.origins.get(name)
    answer = {"head": None, "staged": None}
    if origin is not None:
        for part, label, tree in ((HEAD, "head", origin.head), (STAGED, "staged", origin.staged)):
            if tree is not None and at <= len(origin.leaves[part]):
                answer[label] = origin.leaves[part].root(at)
    return dag_cbor.encode(answer)


def read(host, origin, part, sequence):
    """(ts, etype, eid, leaf, sealed) of an event, or None when it is damaged; damage of the head is recorded."""
    row = host.storage.row(origin, part, sequence)
    if row is not None and is_intact(row) and row[3] == origin.leaves[part][sequence - 1]:
        return row
    if origin.part_of(part, sequence) == HEAD and sequence not in origin.damaged:
        host.storage.mark(origin, [sequence])
    return None


def entries(host, name, query):
    part = part_of(query)
    after = number_of(query, "after", 0, forms.LAST_SEQUENCE, 0)
    limit = number_of(query, "limit", 1, 32_768, 32_768)
    origin = host.known(name)
    parts = []
    for sequence in range(after + 1, min(after + limit, len(origin.leaves[part])) + 1):
        read(host, origin, part, sequence)
        parts.append(_entry(host.storage.row(origin, part, sequence), origin.leaves[part][sequence - 1]))
    return dag_cbor.encode({"entries": b"".join(parts)})


def _entry(row, leaf):
    """The entry of a row, if it matches the stored leaf; zeros otherwise."""
    try:
        entry = entry_of(row[1], row[0], row[2])
        return entry if leaf_of(entry) == leaf else bytes(ENTRY_BYTES)
    except (OverflowError, TypeError, AttributeError):
        return bytes(ENTRY_BYTES)


def events(host, name, query):
    part = part_of(query)
    after = number_of(query, "after", 0, forms.LAST_SEQUENCE, 0)
    limit = number_of(query, "limit", 1, 1000, 1000)
    room = number_of(query, "bytes", 1, 4_194_304, 262_144)
    origin = host.known(name)
    parts = []
    for sequence in range(after + 1, min(after + limit, len(origin.leaves[part])) + 1):
        ts, etype, sealed = described(host, origin, part, sequence)
        room -= 0 if sealed is None else len(sealed)
        if room < 0 and parts:
            break
        parts.append(dag_cbor.encode({"ts": ts, "etype": etype, "sealed": sealed, "sequence": sequence}))
    return b"".join(parts)


def described(host, origin, part, sequence):
    """Time, type and envelope of an event; for a damaged one, a valid time and type."""
    row = read(host, origin, part, sequence)
    if row is not None:
        return row[0], row[1], row[4]
    stored = host.storage.row(origin, part, sequence) or (None, None)
    try:
        members = {"ts": stored[0], "etype": stored[1]}
        return forms.ts_of(members), forms.etype_of(members), None
    except forms.Refusal:
        return 0, 10, None


def damaged(host, name, query):
    after = number_of(query, "after", 0, forms.LAST_SEQUENCE, 0)
    limit = number_of(query, "limit", 1, 1000, 1000)
    origin = host.known(name)
    found = [sequence for sequence in damaged_in(origin) if sequence > after]
    return dag_cbor.encode({"sequences": found[:limit]})


def scrub(host, is_stopped):
    """Reads all stored events repeatedly, at most 1 MiB a second, while there are no requests."""
    while not is_stopped():
        for origin in list(host.origins.values()):
            for part in (HEAD, STAGED):
                sequence = 0
                while not is_stopped() and sequence < len(origin.leaves[part]):
                    sequence = _scrub_some(host, origin, part, sequence)
                    time.sleep(0.1)
        time.sleep(0.5)


def _scrub_some(host, origin, part, after):
    if time.monotonic() - host.last_asked < 0.1:
        return after
    room, sequence = 100_000, after
    with host.lock_of(origin.name):
        while room > 0 and sequence < len(origin.leaves[part]):
            sequence += 1
            row = read(host, origin, part, sequence)
            room -= 256 if row is None else 256 + len(row[4])
    return sequence
