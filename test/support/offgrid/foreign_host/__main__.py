"""A storage host of protocol 2, written from docs/protocol.md alone.

    OFFGRID_AUTH_KEY=... python3 foreign_host --folder DIR [--port 0] [--budget BYTES]

It prints one line of JSON, { url, fingerprint, verifyKey }, when it listens, and runs until it is killed.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import sys
import threading

import ed25519
from reading import scrub
from server import Host, Server
from storage import Storage


def opened(folder, budget):
    """The seed, the key and the storage of the host in a folder; they are created at the first start."""
    folder.mkdir(parents=True, exist_ok=True)
    seed_file, database = folder / "identity", folder / "host.db"
    if seed_file.exists() and not database.exists():
        sys.exit("host.db is missing: this host has lost the events it signed for. Start a new host in an empty folder.")
    if not seed_file.exists():
        descriptor = os.open(seed_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
    seed = seed_file.read_bytes()
    key = ed25519.public_key(seed)
    fingerprint = hashlib.sha256(key).hexdigest()[:32]
    storage = Storage(database, budget)
    if storage.identity() is None:
        storage.be(fingerprint)
    if storage.identity() != fingerprint:
        sys.exit("host.db belongs to another host")
    return seed, key, storage


def parse(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--budget", type=int, default=10 * 1024**3)
    return parser.parse_args(arguments)


def run(options, report):
    """Serves until it is killed; reports its address when it listens."""
    seed, key, storage = opened(options.folder, options.budget)
    host = Host(seed, key, os.environ["OFFGRID_AUTH_KEY"].encode(), storage)
    server = Server(host, options.port)
    threading.Thread(target=scrub, args=(host, lambda: False), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    report({"url": url, "fingerprint": host.fingerprint, "verifyKey": base64.b64encode(key).decode()})
    server.serve_forever()


if __name__ == "__main__":
    run(parse(), lambda started: print(json.dumps(started), flush=True))
