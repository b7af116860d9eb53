"""DAG-CBOR as the protocol defines it: one form for each value; any other is refused."""

DEEPEST = 16
ITEMS_AT_MOST = 65_536


class NotCbor(ValueError):
    pass


def _head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise NotCbor("a number is too large")


def _order(key):
    return len(key), key


def encode(value):
    if value is None:
        return b"\xf6"
    if value is False or value is True:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(item) for item in value)
    members = sorted((key.encode(), item) for key, item in value.items())
    members.sort(key=lambda member: _order(member[0]))
    parts = [_head(5, len(members))]
    for key, item in members:
        parts += [_head(3, len(key)), key, encode(item)]
    return b"".join(parts)


class _Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0
        self.items = 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise NotCbor("the data ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, info):
        if info < 24:
            return info
        if info > 27:
            raise NotCbor("a length is not definite")
        size = 1 << info - 24
        number = int.from_bytes(self.take(size), "big")
        if number < (24 if size == 1 else 1 << 4 * size):
            raise NotCbor("a number is not in its shortest form")
        return number

    def value(self, depth):
        if depth > DEEPEST:
            raise NotCbor("the data is nested too deeply")
        self.items += 1
        if self.items > ITEMS_AT_MOST:
            raise NotCbor("the data has too many items")
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            if info not in (20, 21, 22):
                raise NotCbor("floats and undefined are not allowed")
            return (False, True, None)[info - 20]
        if major == 6:
            raise NotCbor("tags are not allowed")
        number = self.number(info)
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major == 2:
            return bytes(self.take(number))
        if major == 3:
            return self.text(number)
        if number > len(self.data) - self.at:
            raise NotCbor("the data ends too early")
        if major == 4:
            return [self.value(depth + 1) for _ in range(number)]
        return self.map(number, depth)

    def text(self, size):
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotCbor("a text is not UTF-8") from error

    def map(self, count, depth):
        members, last = {}, None
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise NotCbor("a key is not text")
            order = _order(key.encode())
            if last is not None and order <= last:
                raise NotCbor("keys are not in order, or a key occurs twice")
            last = order
            members[key] = self.value(depth + 1)
        return members


def decode(data):
    """The single value that these bytes encode."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise NotCbor("something follows the value")
    return value


def decode_sequence(data):
    """The values of a CBOR sequence (RFC 8742)."""
    reader, values = _Reader(data), []
    while reader.at < len(data):
        values.append(reader.value(0))
    return values
