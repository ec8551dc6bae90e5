"""The server of Git LFS on the Git server of the tests: its batch API, and the store behind it.

Source: the API's description in git-lfs (docs/api/batch.md). It asks for the same tokens as the repository does, and
refuses what has another hash than it is announced with.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from tests.support.exchange import Exchange
from tests.support.git_http import GitHttpServer

_PATH = re.compile(r"^/(?P<name>.+?)(?:\.git)?/info/lfs/(?P<rest>objects/batch|objects/(?P<oid>[0-9a-f]{64})|locks.*)$")
_KIND = "application/vnd.git-lfs+json"


class LfsServer:
    """Mounts itself; ``objects`` are the contents by their hash, ``pointer`` makes what Git has of one."""

    def __init__(self, git: GitHttpServer) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False  # every object fails
        self._git = git
        git.mount(self._answer)

    def add(self, content: bytes) -> bytes:
        """Keep a content and return its pointer."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()

    def _answer(self, on: Exchange) -> bool:
        match = _PATH.match(on.location)
        if match is None:
            return False
        body = on.body()
        repository, login = self._git.repositories.get(match["name"]), self._git.login_of(on.token())
        writes = on.command == "PUT" or b'"upload"' in body
        is_allowed = repository is not None and repository.may(login, "write" if writes else "read")
        status = 200 if is_allowed else 401 if login is None else 404
        on.remember(login, status)
        if not is_allowed:
            headers = {"LFS-Authenticate": 'Basic realm="LFS"', "WWW-Authenticate": 'Basic realm="LFS"'}
            on.send(status, b'{"message": "Credentials needed"}', _KIND, headers if status == 401 else {})
        elif match["rest"] == "objects/batch":
            self._batch(on, json.loads(body), match["name"])
        elif match["oid"] is not None:
            self._object(on, match["oid"], body)
        else:
            on.send(404, b'{"message": "No locks here"}', _KIND)
        return True

    def _batch(self, on: Exchange, asked: dict[str, Any], name: str) -> None:
        what = asked["operation"]
        objects = []
        for one in asked["objects"]:
            oid = one["oid"]
            answer: dict[str, Any] = {"oid": oid, "size": one["size"]}
            if what == "download" and oid not in self.objects:
                answer["error"] = {"code": 404, "message": "Object does not exist"}
            elif what == "download" or oid not in self.objects:
                address = f"{self._git.url}/{name}.git/info/lfs/objects/{oid}"
                answer["actions"] = {what: {"href": address, "header": {}}}
            objects.append(answer)
        on.send(200, json.dumps({"transfer": "basic", "objects": objects}).encode(), _KIND)

    def _object(self, on: Exchange, oid: str, body: bytes) -> None:
        if self.down:
            on.send(503, b'{"message": "Down"}', _KIND)
        elif on.command == "GET":
            content = self.objects.get(oid)
            on.send(404 if content is None else 200, content or b"", "application/octet-stream")
        elif hashlib.sha256(body).hexdigest() != oid:
            on.send(422, b'{"message": "Another hash"}', _KIND)
        else:
            self.objects[oid] = body
            on.send(200, b"", _KIND)
