"""JupyterHub's configuration: each module has one ``apply(c, settings)``, a function of its arguments alone.

``settings`` reads and checks the environment and ``aidp.toml`` (by ``given`` and ``table``), ``network`` says who
listens where and what is kept on disk, ``auth`` who may sign in, ``spawner`` how a user's server runs, ``services``
what the hub itself runs, ``roles`` who may do what. Others are no such parts but what the hub then runs: ``signed`` is
what the sign-ins with a provider have in common, ``forge`` GitHub's, which keeps the users' tokens and hands them out,
``oidc`` the others'; ``people`` knows whose each account is, and ``audited`` writes down what happens.
"""
