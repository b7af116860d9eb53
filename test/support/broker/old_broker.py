"""A broker as old cores know it: no nonces, no hosts, its state in memory. Prints its URL and serves until it is killed.

usage: old_broker.py <auth key>
"""

import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse

AUTH_KEY = sys.argv[1]
POLICY = {"weight_default": 1.0, "weights": {}, "decay_half_life_s": 0, "max_age_s": 0}
WINDOW_S = 300
RECORDS = {}


def sum_of_weights(acks):
    total = 0.0
    for ack in acks:
        age = time.time() - ack["ts"]
        if POLICY["max_age_s"] and age > POLICY["max_age_s"]:
            continue
        half_life = POLICY["decay_half_life_s"]
        total += ack["w"] * (0.5 ** (age / half_life) if half_life else 1.0)
    return total


def create(body):
    key = (body.get("kind"), body.get("id"))
    if key not in RECORDS:
        RECORDS[key] = {
            "id": body.get("id"),
            "kind": body.get("kind"),
            "required": float(body.get("required", 1.0)),
            "acks": [],
            "finalized": False,
            "meta": body.get("meta") or {},
            "ts": int(time.time()),
        }
    return 200, RECORDS[key]


def ack(body):
    record = RECORDS.get((body.get("kind"), body.get("id")))
    if record is None:
        return 404, {"error": "quorum record not found"}
    node = body.get("node_id")
    weight = POLICY["weights"].get(node, POLICY["weight_default"])
    record["acks"] = [a for a in record["acks"] if a["id"] != node]
    record["acks"].append({"id": node, "ts": int(time.time()), "w": weight})
    total = sum_of_weights(record["acks"])
    record["finalized"] = record["finalized"] or total >= record["required"]
    return 200, {"ok": True, "finalized": record["finalized"], "sum_w": total, "required": record["required"]}


def is_signed(body):
    given = body.pop("signature", None)
    text = json.dumps(body, sort_keys=True)
    made = hmac.new(AUTH_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    return isinstance(given, str) and hmac.compare_digest(given, made)


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        url = urlparse(self.path)
        parts = [unquote(part) for part in url.path.split("/")]
        if url.path == "/status":
            self.answer(200, {"status": "ok", "service": "offgrid-broker-auction", "version": "0.16.4"})
        elif url.path == "/quorum/list":
            kind = parse_qs(url.query).get("kind", [None])[0]
            self.answer(200, [r for r in RECORDS.values() if kind is None or r["kind"] == kind])
        elif url.path == "/quorum/policy":
            self.answer(200, POLICY)
        elif parts[1:3] == ["quorum", "status"] and len(parts) == 5:
            record = RECORDS.get((parts[3], parts[4]))
            self.answer(*((200, record) if record else (404, {"error": "quorum record not found"})))
        else:
            self.answer(404, {"error": "not found"})

    def do_POST(self):
        handle = {"/quorum/create": create, "/quorum/ack": ack}.get(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if handle is None:
            return self.answer(404, {"error": "not found"})
        try:
            body = json.loads(raw.decode())
        except ValueError:
            return self.answer(400, {"error": "invalid json"})
        if not is_signed(body):
            return self.answer(401, {"error": "invalid signature"})
        if abs(time.time() - body.get("timestamp", 0)) > WINDOW_S:
            return self.answer(401, {"error": "timestamp too old"})
        self.answer(*handle(body))

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
