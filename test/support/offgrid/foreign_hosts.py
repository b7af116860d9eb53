"""Runs hosts for tests, each in a process of its own, forked from this one, which has loaded their modules.

A line of its input is [id, arguments]. It prints { id, pid, url, ... } for a host that listens, or { id, failed } for one that
does not start. All hosts end when its input ends.
"""

import importlib.util
import json
import os
import pathlib
import signal
import sys
import traceback

FOLDER = pathlib.Path(__file__).parent / "foreign_host"


def loaded():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("foreign_host", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(**line):
    # One write: several processes share this output.
    os.write(1, (json.dumps(line) + "\n").encode())


def serve(foreign_host, number, arguments):
    try:
        foreign_host.run(foreign_host.parse(arguments), lambda started: report(id=number, pid=os.getpid(), **started))
    except BaseException:
        report(id=number, failed=traceback.format_exc())
    os._exit(1)


def main():
    foreign_host = loaded()
    # Hosts that end need not be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        number, arguments = json.loads(line)
        if os.fork() == 0:
            serve(foreign_host, number, arguments)
    os.killpg(0, signal.SIGKILL)


main()
