"""What the hub's service does that is neither AI nor anybody's own: it hands out the tokens of the hub's sign-in."""
