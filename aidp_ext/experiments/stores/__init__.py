"""Where runs are read from and written to: the REST API of MLflow, and its own SQLite file."""
