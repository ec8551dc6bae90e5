"""The slice's settings: traits, with the environment variables that users know as their defaults."""

from __future__ import annotations

import os

from traitlets import Bool, Dict, Float, Unicode, default
from traitlets.config import Configurable


class ExperimentsConfig(Configurable):
    """Where runs are kept, and what kernels know of it."""

    tracking_uri = Unicode(
        help="The tracking server: its http(s) address, or the SQL database that a server of aidp's shall use, such as"
        " sqlite:////data/mlflow.db. Empty: a server of aidp's with an SQLite file in `folder`, or in a hub the"
        " team's. Environment: MLFLOW_TRACKING_URI; and MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and"
        " MLFLOW_TRACKING_PASSWORD, for a server that wants to know who asks."
    ).tag(config=True)
    folder = Unicode(
        help="Where aidp's own tracking server keeps its database, its log and the files of runs. Default: experiments/"
        " in `AidpApp.state_dir`. SQLite wants a disk of this machine."
    ).tag(config=True)
    artifacts = Unicode(
        help="Where aidp's own tracking server keeps the files of runs: a folder, or an address such as s3://bucket/runs."
        " Default: artifacts/ in `folder`."
    ).tag(config=True)
    server_environment = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="More environment variables for aidp's own tracking server, such as the keys for `artifacts`. It gets no"
        " others of the server's, but for PATH, HOME, the language and the like.",
    ).tag(config=True)
    start_timeout_s = Float(
        180.0, min=1, help="For how many seconds aidp waits until its own tracking server answers."
    ).tag(config=True)
    govern_kernels = Bool(
        True,
        help="Whether kernels and terminals get MLFLOW_TRACKING_URI and a token, so that `mlflow.start_run()` logs to"
        " the tracking server through aidp, without anything to set up.",
    ).tag(config=True)
    system_metrics = Bool(
        False,
        help="Whether each run records the use of processors, memory, disk, network and GPUs, unless it says otherwise"
        " itself: MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING in kernels and terminals. For GPUs, nvidia-ml-py is needed.",
    ).tag(config=True)

    @default("tracking_uri")
    def _default_tracking_uri(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI", "").strip()
