"""Who owns an experiment or a registered model, with whom it is shared, and a number that grows with each change."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tracking_owner",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String),
    )
    op.create_table(
        "tracking_grant",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("kind", "id", "to", "name")),
        sa.Column("role", sa.String, nullable=False),
    )
    change = op.create_table(
        "tracking_change",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(change, [{"id": 1, "number": 1}])
