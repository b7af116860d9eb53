"""The forms of requests, claims and trees, and the refusals."""

import hashlib
import re
from dataclasses import dataclass

import dag_cbor
import ed25519

ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
HOST = re.compile(r"[0-9a-f]{32}\Z")
WRITER = re.compile(r"[A-Za-z0-9]{1,32}:[A-Za-z0-9_-]{8,64}\Z")

LARGEST = 2**53 - 1
LAST_SEQUENCE = 2**53 - 2
LAST_EPOCH = 2**48
LAST_LINE = 2**31 - 1
FURTHEST_TS = 8_640_000_000_000_000
SEALED = (121, 1_052_672)
EVENTS_AT_ONCE = 500

CLAIM, TREE, HEAD = b"sheratan/2 claim\n", b"sheratan/2 tree\n", b"sheratan/2 head\n"
CONTENT_AT_MOST = 1024


class Refusal(Exception):
    # Whether the refused request is known to be the one that was sent: only then does the answer have an HMAC.
    proven = True

    def __init__(self, status, code, message, **members):
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message[:300], **members}


def bad_request(message):
    return Refusal(400, "BAD_REQUEST", message)


def not_signed(message):
    return Refusal(403, "NOT_SIGNED", message)


def decoded(data):
    try:
        value = dag_cbor.decode(data)
    except (dag_cbor.NotCbor, RecursionError) as error:
        raise bad_request(f"the body is not DAG-CBOR: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("the body is not a map")
    return value


def number(members, name, low, high):
    value = members.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad_request(f"{name} is not a number from {low} to {high}")
    return value


def binary(members, name, low, high):
    value = members.get(name)
    if not isinstance(value, bytes) or not low <= len(value) <= high:
        raise bad_request(f"{name} is not a byte string of {low} to {high} bytes")
    return value


def text(members, name, pattern):
    value = members.get(name)
    if not isinstance(value, str) or not pattern.match(value):
        raise bad_request(f"{name} does not have its form")
    return value


def signed(members, name):
    """A signed thing, as the two received byte strings."""
    value = members.get(name)
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(part, bytes) for part in value)
        or not 1 <= len(value[0]) <= CONTENT_AT_MOST
        or len(value[1]) != 64
    ):
        raise bad_request(f"{name} is not a signed thing")
    return tuple(value)


def is_by(key, context, thing):
    return ed25519.verify(key, context + thing[0], thing[1])


@dataclass(frozen=True)
class Claim:
    origin: str
    host: str
    epoch: int
    writer: str
    thing: tuple


@dataclass(frozen=True)
class Tree:
    origin: str
    sequence: int
    root: bytes
    epoch: int
    writer: str
    base: int
    quorum: int
    quorum_root: bytes
    line: int
    begun: bytes
    thing: tuple

    @property
    def complete(self):
        return self.sequence >= self.base

    @property
    def rank(self):
        return self.line, self.epoch, self.sequence


def claim_of(thing):
    members = decoded(thing[0])
    return Claim(
        text(members, "origin", ORIGIN),
        text(members, "host", HOST),
        number(members, "epoch", 1, LAST_EPOCH),
        text(members, "writer", WRITER),
        thing,
    )


def tree_of(thing):
    members = decoded(thing[0])
    number(members, "ts", 0, LARGEST)
    return Tree(
        text(members, "origin", ORIGIN),
        number(members, "sequence", 1, LAST_SEQUENCE),
        binary(members, "root", 32, 32),
        number(members, "epoch", 1, LAST_EPOCH),
        text(members, "writer", WRITER),
        number(members, "base", 0, LARGEST),
        number(members, "quorum", 0, LAST_SEQUENCE),
        binary(members, "quorumRoot", 32, 32),
        number(members, "line", 1, LAST_LINE),
        binary(members, "begun", 32, 32),
        thing,
    )


@dataclass(frozen=True)
class Event:
    """An event; sealed is None for an event without content."""

    ts: int
    etype: int
    sealed: bytes | None
    eid: bytes
    sequence: int


def ts_of(event):
    return number(event, "ts", -FURTHEST_TS, FURTHEST_TS)


def etype_of(event):
    return number(event, "etype", 10, 65_535)


def events_of(members, first=None):
    """The events of a body; each names its own sequence unless first is given."""
    events = members.get("events")
    if not isinstance(events, list) or len(events) > EVENTS_AT_ONCE:
        raise bad_request(f"events is not an array of at most {EVENTS_AT_ONCE}")
    read = []
    for index, event in enumerate(events):
        if not isinstance(event, dict):
            raise bad_request("an event is not a map")
        ts, etype = ts_of(event), etype_of(event)
        sequence = number(event, "sequence", 1, LAST_SEQUENCE) if first is None else first + index
        if first is not None and event.get("sealed", b"") is None:
            read.append(Event(ts, etype, None, binary(event, "eid", 32, 32), sequence))
            continue
        sealed = binary(event, "sealed", *SEALED)
        read.append(Event(ts, etype, sealed, hashlib.sha256(sealed).digest(), sequence))
    return read
