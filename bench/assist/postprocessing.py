"""The front end's post-processor, as it is: what of an answer the user would see, and its own cases."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure
from tests.support.processes import REPO

FRONT_END = REPO / "labextension"
CASES = FRONT_END / "test" / "postprocess.json"
SOURCE = FRONT_END / "src" / "ai" / "tidy" / "postprocess.ts"
_RUN = """import { postprocess } from './postprocess.mjs';
import { readFileSync } from 'node:fs';
const answers = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(answers.map(answer => postprocess(...answer))));
"""


def tidied(answers: Sequence[tuple[str, ...]]) -> list[str]:
    """Return what the post-processor makes of (answer, text before the cursor, text after it[, language])."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "run.mjs"
        script.write_text(_RUN)
        esbuild = [FRONT_END / "node_modules" / ".bin" / "esbuild", SOURCE, "--bundle", "--format=esm"]
        subprocess.run([*esbuild, f"--outfile={folder / 'postprocess.mjs'}", "--log-level=error"], check=True)
        said = subprocess.run(["node", script], input=json.dumps(answers), check=True, capture_output=True, text=True)
        return [str(text) for text in json.loads(said.stdout)]


def figures() -> list[Figure]:
    """Return how many of the post-processor's cases come out right."""
    cases = json.loads(CASES.read_text())
    seen = tidied([(case["raw"], case["prefix"], case["suffix"], case.get("language", "python")) for case in cases])
    right = sum(text == case["expected"] for text, case in zip(seen, cases, strict=True))
    return [Figure(f"post-processor: of its {len(cases)} cases right", right, "cases", float(len(cases)), True)]
