"""The way to the tracking server: through this server's sign-in, and through a gate."""
