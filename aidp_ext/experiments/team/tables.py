"""The permissions' tables. Imported on first use only: SQLAlchemy costs a server's start too much.

``migrations/`` makes what is stated here; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table

metadata = MetaData()

#: Every experiment and registered model that was made through aidp, or that an admin has shared.
owners = Table(
    "tracking_owner",
    metadata,
    Column("kind", String, primary_key=True),  # experiment or model
    Column("id", String, primary_key=True),  # an experiment's id, a model's name
    Column("owner", String),
)

#: With whom they are shared.
grants = Table(
    "tracking_grant",
    metadata,
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("to", String, primary_key=True),  # team or user
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),
)

#: One row, whose number grows with each change: how other processes see that what they know is old.
changes = Table(
    "tracking_change",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)
