"""From notebook to pull request: the state of a repository, what stands in its way, and the way to a review."""
