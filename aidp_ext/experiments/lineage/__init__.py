"""Where a run comes from: the cell, the commit, the environment. Part of it runs in kernels, part in the server."""
