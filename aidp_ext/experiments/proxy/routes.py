"""``mlflow/…``: the tracking server as it is, its pages and its API, behind this server's sign-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from tornado import web

from aidp_ext.core import errors
from aidp_ext.core.streamed import StreamedApi
from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.experiments.models import Caller
from aidp_ext.experiments.proxy.forward import Answer, Proxy, with_token
from aidp_ext.experiments.proxy.gate import Asked

_READ_WHOLE = 32_000_000  # bytes of a body that the gate reads

#: The codes that MLflow's own clients know.
_CODES = (
    (errors.Forbidden, "PERMISSION_DENIED"),
    (errors.NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (errors.InvalidRequest, "INVALID_PARAMETER_VALUE"),
    (errors.Unauthenticated, "UNAUTHENTICATED"),
    (errors.Conflict, "RESOURCE_CONFLICT"),
    (errors.Unavailable, "TEMPORARILY_UNAVAILABLE"),
    (errors.UpstreamError, "TEMPORARILY_UNAVAILABLE"),
)


class MlflowDoor(Api):
    """``mlflow``: the way in without the slash at the end, from which MLflow's pages would not find each other."""

    @endpoint("read", gives=str)
    async def get(self) -> None:
        """Lead to ``mlflow/``."""
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.request.path}/{query}")


class Mlflow(StreamedApi):
    """``mlflow/…``: passes a request to the tracking server, which is started where needed."""

    for_kernels = True

    def check_xsrf_cookie(self) -> None:
        """Ask for no token where nothing can be forged: browsers fetch fonts and scripts without one."""
        if self.request.method != "GET" or "/mlflow/static-files/" not in self.request.path:
            super().check_xsrf_cookie()

    async def _pass(self, path: str) -> None:
        proxy: Proxy = self.settings["aidp_mlflow"]()
        asked = self._asked(path)
        prefix = self.request.path[: -len(asked.path)]
        body: Any = self.chunks() if self.has_body else None
        if proxy.gate.reads_body(asked.method, asked.path):
            body = await self._whole()
        async with proxy.passing(asked, body, prefix=prefix) as answer:
            await self._give(answer)

    def _asked(self, path: str) -> Asked:
        raw = self.request.path
        start = -1
        while True:  # the path as it came, of which Tornado gives us the decoded end
            start = raw.index("/mlflow/", start + 1)
            rest = raw[start + len("/mlflow") :]
            if unquote_to_bytes(rest[1:]) == path.encode():
                break
        caller = Caller(self.who(), self.teams(), self.sees_everybody())
        headers = dict(self.request.headers.get_all())
        return Asked(caller, str(self.request.method), rest, self.request.query, headers)

    async def _whole(self) -> bytes:
        data = bytearray()
        if self.has_body:
            async for chunk in self.chunks():
                data += chunk
                if len(data) > _READ_WHOLE:
                    raise web.HTTPError(413, "The body is larger than 32 MB.")
        return bytes(data)

    async def _give(self, answer: Answer) -> None:
        self.set_status(answer.status)
        self.clear_header("Content-Type")
        for name, value in answer.headers:
            self.set_header(name, value)
        if answer.is_page:
            token = self.xsrf_token
            page = with_token(b"".join([c async for c in answer.chunks]), token.decode())
            self.clear_header("Content-Length")
            self.set_header("Cache-Control", "no-store")  # a later token would be another
            await self.finish(page)
            return
        if answer.status in (204, 304):
            await self.finish()
            return
        async for chunk in answer.chunks:
            self.write(chunk)
            await self.flush()  # awaited: a slow reader slows the tracking server down, and fills no memory
        if not self._headers_written and not self._write_buffer:
            self.set_header("Content-Length", "0")
        await self.finish()

    def error_document(self, error: BaseException | None, status: int) -> dict[str, Any]:
        """Return the one error body with the two fields beside it that MLflow's clients read."""
        document = super().error_document(error, status)
        code = next((word for kind, word in _CODES if isinstance(error, kind)), "INTERNAL_ERROR")
        return {**document, "error_code": code, "message": document["error"]["message"]}

    @endpoint("read", gives=str)
    async def get(self, path: str) -> None:
        """Read from the tracking server: MLflow's pages, its API, the files of a run."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def post(self, path: str) -> None:
        """Call MLflow's API."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def put(self, path: str) -> None:
        """Send a file of a run, or call MLflow's API."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def patch(self, path: str) -> None:
        """Call MLflow's API."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def delete(self, path: str) -> None:
        """Call MLflow's API."""
        await self._pass(path)


#: What is served below ``aidp/``.
ROUTES: tuple[Route, ...] = (("mlflow", MlflowDoor), (r"mlflow/(.*)", Mlflow))
