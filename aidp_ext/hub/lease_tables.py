"""The leases' tables. Imported on first use only: SQLAlchemy costs a process's start too much.

``migrations/`` makes what is stated here; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, MetaData, String, Table

metadata = MetaData()

devices = Table(
    "gpu_device",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
)

#: The keys alone keep a device from having two holders, whatever goes wrong elsewhere.
leases = Table(
    "gpu_lease",
    metadata,
    Column("device", String, primary_key=True),
    Column("holder", String, nullable=False, unique=True),
    Column("user", String, nullable=False),
    Column("is_held", Boolean, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False),
)

waits = Table(
    "gpu_wait",
    metadata,
    Column("holder", String, primary_key=True),
    Column("user", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False, server_default="0"),
)

#: One row: whoever changes anything raises its number first, so that they come one after the other.
turn = Table(
    "gpu_turn",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)
