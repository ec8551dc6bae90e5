"""Finds a Chromium for the browser tests, and installs one where there is none. ``python tests/support/browser.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Chromium without its own window, as Playwright uses it too: a page takes a third less of the processor.
WINDOWLESS = "chromium-headless-shell"
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Return the path of a Chromium: AIDP_CHROMIUM, the system's, or Playwright's own; None where there is none."""
    for name in (os.environ.get("AIDP_CHROMIUM"), WINDOWLESS, "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Install one: Debian's package where that works without asking, else Playwright's download where none is here."""
    if _has_apt():
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", WINDOWLESS, "fonts-dejavu-core"]
        if subprocess.run(argv, check=False, env=environment, stdout=subprocess.DEVNULL).returncode == 0:
            return
    if find() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def _has_apt() -> bool:
    """Whether packages can be installed without asking."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


if __name__ == "__main__":
    chosen = os.environ.get("AIDP_CHROMIUM") or shutil.which(WINDOWLESS)
    if not chosen and (_has_apt() or find() is None):
        print("Setting up: a browser for the tests …", flush=True)
        install()
    if find() is None:
        sys.exit("aidp: no_browser: install Chromium, or set AIDP_CHROMIUM to one")
