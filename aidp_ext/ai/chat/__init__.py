"""The persona ``aidp`` in jupyter-ai's chat."""
