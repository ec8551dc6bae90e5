"""``from aidp_ext import ai`` has functions; a package of the same name would hide one of them."""

from __future__ import annotations

from pathlib import Path

import aidp_ext.ai


def test_no_package_hides_a_function_of_the_client() -> None:
    modules = {path.stem for path in Path(aidp_ext.ai.__path__[0]).iterdir()}
    assert not modules & set(aidp_ext.ai.__all__)
