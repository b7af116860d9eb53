"""Runs hosts for tests, each in a process of its own, forked from this one, which has loaded what they need.

A line of its input is [id, arguments]; one that it prints is { id, pid, url, ... } of a host that listens, or { id, failed } of
one that does not start. They all end with its input.
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


def say(**line):
    print(json.dumps(line), flush=True)


def serve(foreign_host, number, arguments):
    try:
        foreign_host.run(foreign_host.parse(arguments), lambda started: say(id=number, pid=os.getpid(), **started))
    except BaseException:
        say(id=number, failed=traceback.format_exc())
    os._exit(1)


def main():
    foreign_host = loaded()
    # Nobody has to wait for those that end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        number, arguments = json.loads(line)
        if os.fork() == 0:
            serve(foreign_host, number, arguments)
    os.killpg(0, signal.SIGKILL)


main()
