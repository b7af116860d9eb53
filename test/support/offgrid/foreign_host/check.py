"""Checks the code of this host without a network.

    python3 foreign_host/check.py vectors protocol-2.json
    python3 foreign_host/check.py signatures < cases.json

The first checks it against the vectors of the protocol. The second reads a list of { key, message, signature }, in
hexadecimal, and prints which of the signatures it accepts.
"""

import hashlib
import json
import sys

import dag_cbor
import ed25519
import forms
from merkle import NOTHING, Leaves, entry_of, leaf_of
from server import Host
from storage import Storage

CONTEXTS = {"claim": forms.CLAIM, "tree": forms.TREE, "treeNotElected": forms.TREE}
CONTEXTS |= {"head": forms.HEAD, "headOfNothing": forms.HEAD}
checks = 0


def same(actual, expected, what):
    global checks
    checks += 1
    actual = actual.hex() if isinstance(actual, bytes) else actual
    if actual != expected:
        sys.exit(f"{what} is {actual}, not {expected}")


def check_entries(vectors):
    leaves = Leaves()
    same(NOTHING, vectors["rootOfNothing"], "the root of nothing")
    for event in vectors["events"]:
        eid = hashlib.sha256(bytes.fromhex(event["sealed"])).digest()
        entry = entry_of(event["etype"], event["ts"], eid)
        leaves.append(leaf_of(entry))
        number = event["sequence"]
        same(entry, event["entry"], f"entry {number}")
        same(leaf_of(entry), event["leaf"], f"leaf {number}")
        same(leaves.root(number), event["root"], f"root {number}")


def check_signed(vectors):
    seeds = {name: bytes.fromhex(vectors[f"{name}Seed"]) for name in ("origin", "host")}
    for name, seed in seeds.items():
        same(ed25519.public_key(seed), vectors[f"{name}VerifyKey"], f"the key of the {name}")
    for name, context in CONTEXTS.items():
        content = bytes.fromhex(vectors[name]["content"])
        seed = seeds["host" if context == forms.HEAD else "origin"]
        same(ed25519.sign(seed, context + content), vectors[name]["signature"], f"the signature of {name}")
        thing = (content, bytes.fromhex(vectors[name]["signature"]))
        same(forms.is_by(ed25519.public_key(seed), context, thing), True, f"the verification of {name}")
        same(dag_cbor.encode(dag_cbor.decode(content)), content.hex(), f"the content of {name}")
    tree = forms.tree_of((bytes.fromhex(vectors["treeNotElected"]["content"]), b""))
    same(tree.complete, False, "whether a tree that was not elected is complete")


def check_host(vectors):
    host_seed = bytes.fromhex(vectors["hostSeed"])
    auth_key = vectors["hostKey"]["authKey"].encode()
    host = Host(host_seed, ed25519.public_key(host_seed), auth_key, Storage(":memory:", 1 << 20))
    same(host.fingerprint, vectors["fingerprint"], "the fingerprint")
    same(host.auth, vectors["hostKey"]["key"], "the key of the host")
    bodies = {name: bytes.fromhex(body) for name, body in vectors["bodies"].items()}
    request, answer = vectors["requestHmac"], vectors["answerHmac"]
    body = hashlib.sha256(bodies["emptyBatch"]).hexdigest()
    lines = ("request/2", host.fingerprint, request["method"], request["path"], request["date"], request["nonce"], body)
    same(host.mac(*lines), request["hmac"], "the HMAC of a request")
    body = hashlib.sha256(bodies["head"]).hexdigest()
    lines = ("answer/2", host.fingerprint, answer["nonce"], str(answer["status"]), body)
    same(host.mac(*lines), answer["hmac"], "the HMAC of an answer")

    head = dag_cbor.decode(host.handle("POST", "core-1", "claim", "", bodies["claim"]))
    same(ed25519.verify(host.key, forms.HEAD + head[0], head[1]), True, "the verification of a head")
    content = dag_cbor.decode(head[0])
    same(content["claim"][0], vectors["claim"]["content"], "the claim of a head")
    same(content["request"], hashlib.sha256(bodies["claim"]).hexdigest(), "the request of a head")
    for name in ("emptyBatch", "batchOfOne"):
        same(refusal(host, "events", bodies[name]), "GAP", f"the refusal of {name}")
    events = [{name: event[name] for name in ("ts", "etype")} for event in vectors["events"]]
    for event, vector in zip(events, vectors["events"], strict=True):
        event["sealed"] = bytes.fromhex(vector["sealed"])
    for name in ("tree", "treeNotElected"):
        thing = [bytes.fromhex(vectors[name][part]) for part in ("content", "signature")]
        count = forms.tree_of(thing).sequence
        whole = dag_cbor.encode({"from": 1, "tree": thing, "events": events[:count]})
        head = dag_cbor.decode(dag_cbor.decode(host.handle("POST", "core-1", "events", "", whole))[0])
        same(head["tree" if name == "tree" else "staged"][0], vectors[name]["content"], f"{name} in a head")
    same(dag_cbor.decode(host.handle("POST", "core-1", "mend", "", bodies["mend"])), {"mended": 1}, "a mend")
    same(host.handle("POST", "core-1", "events", "", bodies["emptyBatch"])[:2].hex(), "8259", "a head")


def refusal(host, what, body):
    try:
        host.handle("POST", "core-1", what, "", body)
    except forms.Refusal as refused:
        return refused.body["code"]
    return None


def check_refused(vectors):
    for case in vectors["refused"]:
        if "map" in case:
            try:
                dag_cbor.decode(bytes.fromhex(case["map"]))
            except dag_cbor.NotCbor:
                same(True, True, case["why"])
            else:
                sys.exit(f"{case['why']} is accepted")
        if "key" in case:
            same(ed25519.is_small_order(bytes.fromhex(case["key"])), True, case["why"])
        if "tree" in case:
            content = bytes.fromhex(case["tree"]["content"])
            same(forms.tree_of((content, b"")).complete, False, case["why"])
        if "entry" in case:
            same(leaf_of(bytes.fromhex(case["entry"])), case["leaf"], case["why"])


def main():
    if sys.argv[1] == "signatures":
        cases = [[bytes.fromhex(case[part]) for part in ("key", "message", "signature")] for case in json.load(sys.stdin)]
        print(json.dumps([ed25519.verify(*case) for case in cases]))
        return
    with open(sys.argv[2], encoding="utf-8") as file:
        vectors = json.load(file)
    for check in (check_entries, check_signed, check_host, check_refused):
        check(vectors)
    print(f"{checks} checks hold.")


if __name__ == "__main__":
    main()
