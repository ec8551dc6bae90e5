"""Sphinx's configuration. The reference is made from the code at each build, see generate.py."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402

from aidp_ext import __version__  # noqa: E402

generate.write(HERE / "reference" / "generated")

project = "aidp"
author = "the aidp developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the benchmarks' results begin at a level of their own
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "aidp"
