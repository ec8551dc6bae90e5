"""``python -m aidp_ext`` is the `aidp` command."""

import sys

from aidp_ext.cli import main

sys.exit(main())
