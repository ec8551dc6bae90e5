"""What each `aidp` sub-command does."""
