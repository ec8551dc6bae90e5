"""When those who wait asked last. Whoever waits while this is done keeps their place: they ask every few seconds."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("gpu_wait", sa.Column("seen_ms", sa.BigInteger, nullable=False, server_default="0"))
    waits = sa.table("gpu_wait", sa.column("seen_ms"))
    op.execute(waits.update().values(seen_ms=round(time.time() * 1000)))
