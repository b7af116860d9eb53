"""The host over HTTP: the caller, the request, and the signed answer."""

import base64
import contextlib
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dag_cbor
import reading
import rules
from forms import ORIGIN, Refusal, bad_request, decoded, events_of

HEX = re.compile(r"[0-9a-f]+\Z")
DATE = re.compile(r"[0-9]{1,15}\Z")
FURTHEST_DATE = 300
LARGEST_BATCH = 8 * 1024 * 1024
LARGEST_CLAIM = 16 * 1024
CONNECTIONS, OF_AN_ADDRESS, RESERVED = 128, 16, 32
KNOWN_FOR = 600
AT_A_TIME, WAITING = 8, 64

READS = {
    "head": reading.challenged_head,
    "roots": reading.roots,
    "entries": reading.entries,
    "events": reading.events,
    "damaged": reading.damaged,
}
POSTS = {"claim": LARGEST_CLAIM, "events": LARGEST_BATCH, "mend": LARGEST_BATCH}
PATHS = {"GET": READS, "POST": POSTS}


def is_hex(value, digits):
    return len(value) == digits and HEX.match(value) is not None


def unauthenticated(message):
    return Refusal(401, "UNAUTHENTICATED", message)


class Unproven(Refusal):
    """The request may have been changed in transit: its refusal must not have the host's HMAC."""

    proven = False


def too_large(most):
    return Unproven(413, "TOO_LARGE", f"a body has at most {most} bytes")


class Nonces:
    """The nonces that were used, kept for as long as their dates are accepted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.until = {}

    def accept(self, nonce, until):
        now = time.time()
        with self.lock:
            if len(self.until) > 10_000:
                self.until = {seen: end for seen, end in self.until.items() if end >= now}
            if self.until.get(nonce, 0) >= now:
                return False
            self.until[nonce] = until
            return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        super().setup()
        self.is_used = False
        self.host = self.server.host

    def handle_one_request(self):
        """Does the same as the base class, with limits of 10 s for the headers and 60 s until the next request begins."""
        self.close_connection = True
        try:
            self.connection.settimeout(60 if self.is_used else 10)
            self.is_used = True
            if not self.rfile.peek(1):
                return
            self.server.deadlines[self.connection] = time.monotonic() + 10
            self.raw_requestline = self.rfile.readline(65_537)
            is_read = self.raw_requestline and self.parse_request()
            self.server.deadlines.pop(self.connection, None)
            if is_read:
                self.answer()
                self.wfile.flush()
        except OSError:
            self.close_connection = True
        finally:
            self.server.deadlines.pop(self.connection, None)

    def answer(self):
        self.read_all = not self.has_body()
        path, _, query = self.path.partition("?")
        if path == "/replica" or path.startswith("/replica/"):
            self.replica(path, query)
        elif self.command == "GET" and path == "/pubkeys":
            key = base64.b64encode(self.host.key).decode()
            self.send(200, "application/json", json.dumps({"ed25519_verify_key": key, "protocol": 2}).encode())
        else:
            self.send(404, "text/plain", b"not found\n")

    def has_body(self):
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers

    def send(self, status, kind, body, headers=()):
        if not self.read_all:
            self.close_connection = True
        self.send_response(status)
        for name, value in (("content-type", kind), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)
        if not self.read_all:
            self.linger()

    def linger(self):
        """Lets the client read the answer before the rest of its body meets a closed connection."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        left = LARGEST_BATCH * 2
        while left > 0 and (part := self.rfile.read1(65_536)):
            left -= len(part)

    def replica(self, path, query):
        self.clock = ()
        proven = True
        try:
            status, body = 200, self.result(path, query)
        except Refusal as refusal:
            status, body, proven = refusal.status, dag_cbor.encode(refusal.body), refusal.proven
        except OSError:
            raise
        except Exception as error:
            self.log_error("failed: %r", error)
            status, body = 500, dag_cbor.encode({"code": "INTERNAL", "message": "the host failed"})
        nonce = self.headers.get("x-offgrid-nonce", "")
        lines = ["answer/2", self.host.fingerprint, nonce if is_hex(nonce, 32) else "", str(status)]
        mac = self.host.mac(*lines, hashlib.sha256(body).hexdigest())
        answer = (("x-offgrid-answer", mac),) if proven else ()
        self.send(status, "application/cbor", body, (*answer, *self.clock))

    def result(self, path, query):
        parts = path.split("/")
        if len(parts) != 4 or parts[3] not in PATHS.get(self.command, ()):
            raise Unproven(404, "NOT_FOUND", "this path does not exist")
        name, what = parts[2:]
        body_hash = self.authenticated()
        self.server.limits.authenticated(self.client_address[0])
        if not ORIGIN.match(name):
            raise bad_request("the name of the origin is not valid")
        with self.host.place(name):
            body = self.body(POSTS[what]) if self.command == "POST" else b""
            if hashlib.sha256(body).hexdigest() != body_hash:
                raise unauthenticated("the body does not match its hash")
            return self.host.handle(self.command, name, what, query, body)

    def authenticated(self):
        """Checks the headers; returns the hash that the body must have."""
        date, nonce, body_hash, mac = (
            self.headers.get(f"x-offgrid-{name}", "") for name in ("date", "nonce", "body", "signature")
        )
        well_formed = DATE.match(date) and is_hex(nonce, 32) and is_hex(body_hash, 64) and is_hex(mac, 64)
        if not well_formed:
            raise unauthenticated("a header is missing or does not have its form")
        right = self.host.mac(
            "request/2", self.host.fingerprint, self.command, self.path, date, nonce, body_hash
        )
        if not hmac.compare_digest(mac, right):
            raise unauthenticated("the signature is wrong")
        now = int(time.time())
        if abs(now - int(date)) > FURTHEST_DATE:
            clock = self.host.mac("clock", self.host.fingerprint, nonce, str(now))
            self.clock = (("x-offgrid-date", str(now)), ("x-offgrid-signature", clock))
            raise unauthenticated("the clock is wrong")
        if not self.host.nonces.accept(nonce, int(date) + FURTHEST_DATE + 1):
            raise unauthenticated("the nonce was used before")
        return body_hash

    def body(self, most):
        if "transfer-encoding" in self.headers:
            return self.chunks(most)
        length = self.headers.get("content-length", "0")
        if not DATE.match(length):
            raise Unproven(400, "BAD_REQUEST", "the length of the body is missing")
        if int(length) > most:
            raise too_large(most)
        pace = Pace(self.connection)
        body = self.exactly(int(length), pace)
        self.read_all = True
        return body

    def exactly(self, length, pace):
        parts = []
        while length > 0:
            part = pace.read(self.rfile, length)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def chunks(self, most):
        pace, body = Pace(self.connection), b""
        while True:
            line = self.rfile.readline(1024).split(b";")[0].strip().decode("latin-1")
            if not re.fullmatch(r"[0-9A-Fa-f]{1,8}", line):
                raise Unproven(400, "BAD_REQUEST", "a chunk has no length")
            size = int(line, 16)
            if len(body) + size > most:
                raise too_large(most)
            if size == 0:
                while self.rfile.readline(1024) not in (b"\r\n", b"\n", b""):
                    pass
                self.read_all = True
                return body
            body += self.exactly(size, pace)
            self.rfile.readline(8)

    def log_message(self, format, *args):
        if not format.startswith('"'):
            super().log_message(format, *args)


class Pace:
    """Reads a body that arrives with at least 512 bytes a second over each 30 s after the first 10 s."""

    def __init__(self, connection):
        self.connection = connection
        self.until, self.bytes = time.monotonic() + 40, 0

    def read(self, file, length):
        left = self.until - time.monotonic()
        if left <= 0 and self.bytes >= 512 * 30:
            self.until, self.bytes = time.monotonic() + 30, 0
            left = 30
        if left <= 0:
            raise Unproven(400, "BAD_REQUEST", "the body arrives too slowly")
        self.connection.settimeout(left)
        try:
            part = file.read1(min(length, 65_536))
        except TimeoutError as error:
            raise Unproven(400, "BAD_REQUEST", "the body does not arrive") from error
        if not part:
            raise OSError("the body ended too early")
        self.bytes += len(part)
        return part


class Limits:
    """Limits connections: some places are reserved for addresses that authenticated in the last ten minutes."""

    def __init__(self):
        self.lock = threading.Lock()
        self.open = {}
        self.known = {}

    def authenticated(self, address):
        with self.lock:
            if len(self.known) >= 1024:
                self.known.clear()
            self.known[address] = time.monotonic() + KNOWN_FOR

    def enter(self, address):
        with self.lock:
            is_known = self.known.get(address, 0) > time.monotonic()
            most = CONNECTIONS if is_known else CONNECTIONS - RESERVED
            if self.open.get(address, 0) >= OF_AN_ADDRESS or sum(self.open.values()) >= most:
                return False
            self.open[address] = self.open.get(address, 0) + 1
            return True

    def leave(self, address):
        with self.lock:
            self.open[address] -= 1
            if self.open[address] == 0:
                del self.open[address]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.host = host
        self.deadlines = {}
        self.limits = Limits()
        threading.Thread(target=self._end_the_slow, daemon=True).start()

    def _end_the_slow(self):
        while True:
            time.sleep(0.5)
            for connection, deadline in list(self.deadlines.items()):
                if deadline < time.monotonic():
                    try:
                        connection.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def process_request(self, request, client_address):
        if self.limits.enter(client_address[0]):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.limits.leave(client_address[0])


class Host:
    def __init__(self, seed, key, auth_key, storage):
        self.seed, self.key, self.storage = seed, key, storage
        self.fingerprint = hashlib.sha256(key).hexdigest()[:32]
        self.auth = hmac.digest(auth_key, f"host/2\n{self.fingerprint}".encode(), "sha256")
        self.origins = {origin.name: origin for origin in storage.origins()}
        self.nonces = Nonces()
        self.lock = threading.Lock()
        self.waiting = {}
        self.unknown = threading.Lock()
        self.last_asked = 0.0

    def mac(self, *lines):
        return hmac.digest(self.auth, "\n".join(lines).encode(), "sha256").hex()

    @contextlib.contextmanager
    def place(self, name):
        """A place in the queue of an origin's requests."""
        with self.lock:
            if self.waiting.get(name, 0) >= AT_A_TIME + WAITING:
                raise Refusal(503, "BUSY", "too many requests are waiting", wait=1)
            self.waiting[name] = self.waiting.get(name, 0) + 1
        try:
            yield
        finally:
            with self.lock:
                self.waiting[name] -= 1
                if self.waiting[name] == 0:
                    del self.waiting[name]

    def handle(self, method, name, what, query, body):
        """Answers an authenticated request, one at a time for an origin."""
        self.last_asked = time.monotonic()
        while True:
            lock = self.lock_of(name)
            with lock:
                if lock is self.lock_of(name):
                    return self._handle(method, name, what, query, body)

    def lock_of(self, name):
        """Unknown origins share a lock, so that their names take no memory."""
        origin = self.origins.get(name)
        return self.unknown if origin is None else origin.lock

    def _handle(self, method, name, what, query, body):
        if method == "GET":
            return READS[what](self, name, reading.query_of(query))
        members = decoded(body)
        if what == "mend":
            events = events_of(members)
            return dag_cbor.encode({"mended": rules.mend(self, self.known(name), events)})
        (rules.claim if what == "claim" else rules.batch)(self, name, members)
        return reading.head(self, name, hashlib.sha256(body).digest())

    def known(self, name):
        origin = self.origins.get(name)
        if origin is None:
            raise Refusal(404, "NOT_FOUND", "this origin is unknown")
        return origin
