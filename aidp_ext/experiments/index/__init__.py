"""The sidecar index: a SQLite file beside the tracking server that lists are read from; it can always be made anew."""
