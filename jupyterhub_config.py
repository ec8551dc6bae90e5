"""JupyterHub's configuration: reads the settings, then applies each part of hub_config.

``aidp hub`` checks the machine, makes the local sign-in's password and starts JupyterHub with this file.
"""

import os

from hub_config import auth, gpu, network, roles, services, spawner
from hub_config.settings import Settings

settings = Settings.from_env(os.environ)
for part in (network, auth, gpu, spawner, services, roles):
    part.apply(c, settings)
