"""The persona ``aidp`` in jupyter-ai's chat.

Not named ``chat``: ``from aidp_ext import ai`` has a function of that name.
"""
