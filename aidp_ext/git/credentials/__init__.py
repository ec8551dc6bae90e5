"""From the sign-in to git: no token in an address, an argument, an environment, a log or a file of git's."""

from __future__ import annotations

from aidp_ext.git.credentials.accounts import Accounts, Begun
from aidp_ext.git.credentials.broker import AllowedOwners, CredentialBroker
from aidp_ext.git.credentials.local import LocalTokenSource
from aidp_ext.git.credentials.sources import FirstOf, HubTokenSource, TokenSource
from aidp_ext.git.credentials.wiring import Credentials, HubSignIn

__all__ = [
    "Accounts",
    "AllowedOwners",
    "Begun",
    "CredentialBroker",
    "Credentials",
    "FirstOf",
    "HubSignIn",
    "HubTokenSource",
    "LocalTokenSource",
    "TokenSource",
]
