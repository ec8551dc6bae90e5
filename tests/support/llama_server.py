"""A real llama.cpp server in a process of its own.

``python -m tests.support.llama_server MODEL PORT CONTEXT TOKENS``.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import free_port, running, wait_for_http
from tests.support.tiny_model import CONTEXT, write_tiny_model

CONTEXT_PER_SLOT = 1024
MOST_TOKENS = 64


@contextlib.contextmanager
def llama_server(context: int = CONTEXT_PER_SLOT, most_tokens: int = MOST_TOKENS) -> Iterator[str]:
    """Give the base URL (``http://127.0.0.1:<port>/v1``) of a llama.cpp server with the tiny model.

    Each of its two slots holds ``context`` tokens; an answer ends after ``most_tokens``: the model ends none.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, port = Path(folder) / "tiny-coder.gguf", free_port()
        write_tiny_model(model, max(context, CONTEXT))
        argv = [sys.executable, "-m", "tests.support.llama_server", str(model), str(port)]
        argv += [str(context), str(most_tokens)]
        with running(argv, log=Path(folder) / "llama.log") as process:
            wait_for_http(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"


def main(model: str, port: str, context: str, most_tokens: str) -> None:
    """Serve until SIGTERM."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = 2 * int(context)
    params.n_parallel = 2
    params.port = int(port)
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.n_predict = int(most_tokens)
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:])
