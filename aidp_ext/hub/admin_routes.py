"""The admin's page at ``hub/admin``, and what is behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from msgspec import Meta, Struct

from aidp_ext.core.errors import AidpError, Conflict, Forbidden, NotFound, Unavailable
from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.hub import admin_page, admin_views
from aidp_ext.hub.admin import Admin, Asked
from aidp_ext.hub.roster import LARGEST_PAGE, Shown

#: Beside the XSRF token, which other pages of the service could read: the secret that only this page is given.
PAGE_HEADER = "X-AIDP-Page"

_FILES = {"admin.css": "text/css", "admin.js": "text/javascript"}


class OverviewQuery(Struct):
    """Which users are listed."""

    name: Annotated[str, Meta(max_length=255, description="A part of the user's name.")] = ""
    shown: Annotated[Shown, Meta(description="All users, or those who have a server.")] = "all"
    offset: Annotated[int, Meta(ge=0, le=10_000_000, description="How many are left out before the first.")] = 0
    limit: Annotated[int, Meta(ge=1, le=LARGEST_PAGE, description="How many there are at the most.")] = 50

    def asked(self) -> Asked:
        """Return it as the service takes it."""
        return Asked(self.name.strip(), self.shown, self.offset, self.limit)


class ServerNamed(Struct):
    """Whose server, and which of theirs; the usual one has no name."""

    user: Annotated[str, Meta(min_length=1, max_length=255)]
    server: Annotated[str, Meta(max_length=255)] = ""


class StopSaid(TypedDict):
    """``is_over`` is false where the server is still stopping."""

    user: str
    server: str
    is_over: bool


class _AdminApi(Api):
    """For the admin's own token, or the page that the hub gave them in a browser; for no other page's script."""

    scope = "custom:aidp:admin"

    # the host's base class answers these
    is_program: Callable[[], bool]
    page_token: Callable[[], str]
    hub_address: Callable[[], str]

    def admin(self) -> Admin:
        """Return the service. Raises Unavailable where the host has none."""
        admin: Admin | None = self.settings.get("aidp_admin")
        if admin is None:
            raise Unavailable("This service knows no hub.", next_step="Run it as the hub's service.")
        return admin

    def check_page(self) -> None:
        """Raise Forbidden for a request of a browser's that the admin's page did not make."""
        if self.is_program():
            return
        headers = self.request.headers
        site = headers.get("Sec-Fetch-Site", "same-origin")
        if site != "same-origin" or headers.get(PAGE_HEADER) != self.page_token():
            raise Forbidden("Only the admin's page may do this.", next_step="Open the page anew and try again.")


class OverviewRoute(_AdminApi):
    """``hub/overview``."""

    @endpoint("read", query=OverviewQuery, gives=admin_views.OverviewSaid, raises=(Unavailable,))
    async def get(self) -> None:
        """Return users with their servers, GPUs and who waits, this month's spending, and the audit record's state.

        A part that cannot be had is null, and ``problems`` says why. For admins.
        """
        asked = self.query(OverviewQuery).asked()
        self.check_page()
        found = await self.admin().overview(asked, self.settings.get("aidp_leases"))
        self.reply(admin_views.overview(found, asked.offset))


class StopServer(_AdminApi):
    """``hub/servers/stop``."""

    @endpoint(
        "write",
        takes=ServerNamed,
        example={"user": "ana", "server": ""},
        gives=StopSaid,
        raises=(NotFound, Conflict, Unavailable),
    )
    async def post(self) -> None:
        """Stop a user's server. Their files stay; what runs in it ends. For admins, and in the audit record."""
        self.check_page()
        named = self.body(ServerNamed)
        is_over = await self.admin().stop(self.who(), named.user, named.server)
        said: StopSaid = {"user": named.user, "server": named.server, "is_over": is_over}
        self.reply(said)


class _Page(_AdminApi):
    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error as a page for whoever has opened one, and as the one error body for programs."""
        if "text/html" not in self.request.headers.get("Accept", ""):
            super().write_error(status_code, **kwargs)
            return
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        document = self.error_document(error, status_code)["error"]
        step = error.next_step if isinstance(error, AidpError) else None
        self.show(admin_page.refusal(self.hub_address(), document["message"], step))

    def show(self, page: admin_page.Html) -> None:
        """Finish with a page that no other may frame, script or reach from its own window."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Content-Security-Policy", page.policy)
        self.set_header("Cross-Origin-Opener-Policy", "noopener-allow-popups")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.finish(page.text)


class AdminPage(_Page):
    """``hub/admin``: the page."""

    @endpoint("read", query=OverviewQuery, gives=str, media="text/html", raises=(Unavailable,))
    async def get(self) -> None:
        """Show the admin's page in a browser."""
        # A script of another page of this origin must not read what only this page is given.
        if not self.is_program() and self.request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
            raise Forbidden("This page is to be opened, not fetched.")
        asked = self.query(OverviewQuery).asked()
        found = await self.admin().overview(asked, self.settings.get("aidp_leases"))
        tokens = ("", "") if self.is_program() else (self.xsrf_token.decode(), self.page_token())
        self.show(admin_page.page(found, asked, self.hub_address(), self.who(), *tokens))


class AdminFile(_AdminApi):
    """``hub/admin/<file>``: what the page loads."""

    @endpoint("read", gives=str, raises=(NotFound,))
    async def get(self, name: str) -> None:
        """Return the page's script or its style sheet."""
        kind = _FILES.get(name)
        if kind is None:
            raise NotFound("The page has no such file.")
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "private, max-age=300")
        self.finish(admin_page.file(name))


ROUTES: tuple[Route, ...] = (
    (r"hub/overview", OverviewRoute),
    (r"hub/servers/stop", StopServer),
    (r"hub/admin", AdminPage),
    (r"hub/admin/([^/]+)", AdminFile),
)
