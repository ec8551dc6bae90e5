"""The endpoints that give files: what runs logged, and tables of runs."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from urllib.parse import quote

from aidp_ext.core.web import Route, endpoint
from aidp_ext.experiments import wire
from aidp_ext.experiments.base_routes import INDEX_ERRORS, SERVER_ERRORS, ExperimentsApi
from aidp_ext.experiments.models import Artifacts, Preview

#: A page among a run's files may run scripts, and nothing else: it has no origin, no network and no forms.
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src"
    " 'unsafe-inline' data:; img-src data: blob:; font-src data:; media-src data: blob:; form-action 'none'; base-uri"
    " 'none'; frame-ancestors 'self'"
)
_SHOWN = ("image/", "audio/", "video/", "text/plain")


class Csv(ExperimentsApi):
    """``experiments/csv``."""

    @endpoint("read", query=wire.CsvQuery, gives=str, media="text/csv", raises=INDEX_ERRORS)
    async def get(self) -> None:
        """Return runs as a table for spreadsheets; what one of them would take for a formula is made a text."""
        self.query(wire.CsvQuery)
        given = {name: self.get_query_arguments(name, strip=False) for name in ("experiment", "order_by", "columns")}
        document = {
            "experiments": given["experiment"],
            "order_by": given["order_by"],
            "columns": given["columns"],
            "filter": self.get_query_argument("filter", "", strip=False),
            "view": self.get_query_argument("view", "active"),
        }
        chosen = self.get_query_arguments("runs")
        lines = self.service.sheet(self.caller, self.fit(document, wire.RunQuestion), chosen)
        async with contextlib.aclosing(lines):
            first = await anext(lines)  # what is wrong with the question is said before the answer begins
            self.set_header("Content-Type", "text/csv; charset=utf-8")
            self.set_header("Content-Disposition", 'attachment; filename="runs.csv"')
            self.set_header("X-Content-Type-Options", "nosniff")
            self.write(first)
            async for some in lines:
                self.write(some)
                await self.flush()
        self.finish()


class Files(ExperimentsApi):
    """``experiments/runs/<id>/artifacts``."""

    @endpoint("read", query=wire.ArtifactQuery, gives=Artifacts, raises=SERVER_ERRORS)
    async def get(self, id: str) -> None:
        """Return what is in a folder of the files that a run logged."""
        self.reply(await self.service.files(self.caller, id, self.query(wire.ArtifactQuery).path))


class PreviewAt(ExperimentsApi):
    """``experiments/runs/<id>/preview``."""

    @endpoint("read", query=wire.ArtifactQuery, gives=Preview, raises=SERVER_ERRORS)
    async def get(self, id: str) -> None:
        """Return as much of a file as is shown. Nothing that is in it runs."""
        self.reply(await self.service.preview(self.caller, id, self.query(wire.ArtifactQuery).path))


class Raw(ExperimentsApi):
    """``experiments/runs/<id>/raw``."""

    @endpoint("read", query=wire.RawQuery, gives=str, media="*/*", raises=SERVER_ERRORS)
    async def get(self, id: str) -> None:
        """Return a file as it is, or the part that `Range` names. A page has no origin, so it reaches nothing here."""
        from aidp_ext.experiments.previews import mime_of

        asked = self.query(wire.RawQuery)
        async with self.service.opened(self.caller, id, asked.path, self.request.headers.get("Range")) as file:
            mime = mime_of(asked.path)
            is_page = mime in ("text/html", "application/xhtml+xml")
            self.set_header("Content-Type", mime if is_page or mime.startswith(_SHOWN) else "application/octet-stream")
            self.set_header("Content-Security-Policy", _SANDBOX)
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header("Cache-Control", "private, no-cache")
            name = quote(PurePosixPath(asked.path).name or "file", safe="")
            keep = asked.download == "1" or not (is_page or mime.startswith(_SHOWN))
            self.set_header("Content-Disposition", f"{'attachment' if keep else 'inline'}; filename*=UTF-8''{name}")
            if file.size is not None and file.last is not None:
                self.set_header("Accept-Ranges", "bytes")
                self.set_header("Content-Length", str(file.last - file.first + 1))
                if file.is_part:
                    self.set_status(206)
                    self.set_header("Content-Range", f"bytes {file.first}-{file.last}/{file.size}")
            async with contextlib.aclosing(file.chunks):
                async for chunk in file.chunks:
                    self.write(chunk)
                    await self.flush()
        self.finish()


ROUTES: tuple[Route, ...] = (
    (r"experiments/csv", Csv),
    (r"experiments/runs/([^/]+)/artifacts", Files),
    (r"experiments/runs/([^/]+)/preview", PreviewAt),
    (r"experiments/runs/([^/]+)/raw", Raw),
)
