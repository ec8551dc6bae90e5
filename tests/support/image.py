"""The image of a user's server, built in the tests' engine as an admin builds it. ``python tests/support/image.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support import base_image
from tests.support.engine import NoEngine, client, docker, engine

REPO = Path(__file__).parents[2]
IMAGE = "aidp-test/lab"
BASE = "aidp-test/base"
#: What the Dockerfile takes from the repository, beside the wheel.
TAKEN = ("deploy", "constraints.txt", "pyproject.toml", "hub_config/live.txt", "hub_config/proxy/package.json")
#: Where Debian keeps a certificate authority that an admin of this machine has added.
ADDED_CA = Path("/usr/local/share/ca-certificates")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def build(host: str) -> str:
    """Build the image from this checkout and return its name; raises NoEngine where no base can be had."""
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        _wheel(context / "dist")
        for taken in TAKEN:
            (context / taken).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (REPO / taken).is_dir() else shutil.copy2
            copy(REPO / taken, context / taken)
        done = subprocess.run(
            [
                *(client(), "--host", host, "build", "--progress=plain", "--file", f"{context}/deploy/Dockerfile"),
                *("--target=lab-cpu", "--tag", IMAGE, "--build-arg", f"BASE={_base(host)}", *_network(), str(context)),
            ],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode:
        raise AssertionError(f"the image was not built:\n{done.stdout[-6000:]}")
    return IMAGE


def _wheel(folder: Path) -> None:
    """The wheel of this checkout, from the bundle that is built already."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPO)],
        env={**os.environ, "HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(f"the wheel was not built:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def _base(host: str) -> str:
    """A base with Python: AIDP_TEST_BASE, the Dockerfile's own where it can be had, else one from this machine."""
    if chosen := os.environ.get("AIDP_TEST_BASE"):
        return chosen
    first = next(line for line in (REPO / "deploy/Dockerfile").read_text().splitlines() if line.startswith("ARG BASE="))
    public = first.removeprefix("ARG BASE=")
    with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
        docker("pull", "--quiet", public, host=host, timeout=180)
        return public
    try:
        docker("image", "inspect", BASE, host=host)
    except subprocess.CalledProcessError:
        base_image.make(BASE, host=host)
    return BASE


def _network() -> list[str]:
    """What a build needs to trust the network that it is in, where that has a certificate authority of its own."""
    has_own = any(ADDED_CA.glob("**/*.crt")) or any(os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT"))
    return ["--secret", f"id=ca,src={CA_BUNDLE}"] if has_own and CA_BUNDLE.exists() else []


if __name__ == "__main__":
    try:
        with engine() as address:
            print("Setting up: the image of a user's server, for the tests …", flush=True)
            begun = time.monotonic()
            build(address)
            print(f"  {time.monotonic() - begun:.0f} s, {docker('images', '--format={{.Size}}', IMAGE, host=address)}")
    except NoEngine as error:
        print(f"aidp: no_engine: {error}; tests that need the image will be skipped", file=sys.stderr)
