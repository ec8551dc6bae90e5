"""A server extension with one aidp websocket, to test how a host guards them: aidp itself has none yet."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join

from aidp_ext.app import HttpBase, WsBase, guard
from aidp_ext.core.web import WsApi, bind


class EchoSocket(WsApi):
    """Says who speaks, and what."""

    def on_message(self, message: str | bytes) -> None:
        """Echo."""
        self.write_message(f"{self.who()}: {message!r}")


def _load_jupyter_server_extension(serverapp: Any) -> None:
    base = serverapp.web_app.settings["base_url"]
    handlers = bind([("test/ws", EchoSocket)], HttpBase, WsBase, guard)
    serverapp.web_app.add_handlers(
        ".*", [(url_path_join(base, pattern), handler, {"name": "aidp_ext"}) for pattern, handler in handlers]
    )
