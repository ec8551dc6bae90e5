"""A kernel of a user's server on a hub, over its websocket through the proxy, as a browser has it."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import websocket

from tests.hub.browser import Browser


def run(browser: Browser, user: str, kernel: str, code: str, *, seconds: float = 120) -> str:
    """Run a cell and return what it printed; fails with its traceback. Returns "" where the kernel died of it."""
    address = urlsplit(browser.base)
    url = f"ws://{address.netloc}/user/{user}/api/kernels/{kernel}/channels"
    header = {"Authorization": f"Bearer {browser.token}"}
    socket = websocket.create_connection(url, header=header, timeout=seconds, http_no_proxy=["*"])
    try:
        asked = _request(code)
        socket.send(json.dumps(asked))
        printed = ""
        while True:
            said = json.loads(socket.recv())
            kind, content = said["msg_type"], said["content"]
            if kind == "status" and content["execution_state"] in ("restarting", "dead"):
                return ""
            if said["parent_header"].get("msg_id") != asked["header"]["msg_id"]:
                continue
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return printed
    finally:
        socket.close()


def _request(code: str) -> dict[str, Any]:
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": uuid.uuid4().hex}
    header |= {"version": "5.3", "date": ""}
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }
