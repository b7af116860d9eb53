"""A client as in old cores: no nonce, and times with fractions. Prints the answers to all requests as one list.

usage: old_client.py <broker url> <auth key> <requests as JSON: [path, body or null][]>
"""

import hashlib
import hmac
import json
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL, AUTH_KEY, REQUESTS = sys.argv[1:4]


def signed(body):
    body["timestamp"] = time.time()
    text = json.dumps(body, sort_keys=True)
    body["signature"] = hmac.new(AUTH_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    return body


def ask(path, body):
    data = None if body is None else json.dumps(signed(body)).encode()
    request = Request(URL + path, data=data, headers={"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=5) as response:
            return {"status": response.status, "body": json.loads(response.read())}
    except HTTPError as error:
        return {"status": error.code, "body": json.loads(error.read())}


print(json.dumps([ask(path, body) for path, body in json.loads(REQUESTS)]))
