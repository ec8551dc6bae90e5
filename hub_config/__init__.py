"""JupyterHub's configuration: each module has one ``apply(c, settings)``, a function of its arguments alone.

``settings`` reads and checks the environment, ``network`` says who listens where and what is kept on disk, ``auth`` who
may sign in, ``spawner`` how a user's server runs, ``services`` what the hub itself runs, ``roles`` who may do what.
``forge`` is no such part: it is GitHub's sign-in itself, which keeps the users' tokens and hands them out.
"""
