"""Serves the facade over a Tryton database, which is made where there is none: FACADE_KEY=… python serve.py DIRECTORY [--port PORT]"""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

import database


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=0, help="0, the default: a free one, which the line on standard output says")
    arguments.add_argument("--page-size", type=int, default=500, help="the most records of a page, whatever is asked for")
    arguments.add_argument("--company", default="", help="the company that requests name in Erp-Company; empty, the default: they name none")
    options = arguments.parse_args()
    key = os.environ.get("FACADE_KEY", "")
    if len(key) < 16:
        sys.exit("FACADE_KEY must hold the key that clients send, of at least 16 characters.")
    signing_keys = os.environ.get("FACADE_SIGNING_KEY", "").split()
    if any(len(key) < 32 for key in signing_keys):
        sys.exit("FACADE_SIGNING_KEY must hold a key of at least 32 characters, or two with a blank between them.")
    logging.basicConfig(level=logging.WARNING)
    database.create(options.directory)
    database.open_(options.directory)

    # Only now: the models have to be there when the mapping is imported.
    import uvicorn

    from facade.api import Gate, api

    api.state.page_size = options.page_size
    listener = socket.create_server((options.host, options.port), backlog=100)
    # The connections inherit it. asyncio does not see that such a socket is one of TCP, and each answer, which is written as head and
    # body, would wait 40 ms for the client's acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"ready http://{options.host}:{listener.getsockname()[1]}", flush=True)
    gate = Gate(api, key, options.company, signing_keys)
    uvicorn.Server(uvicorn.Config(gate, access_log=False, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
