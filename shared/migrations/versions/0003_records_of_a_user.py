"""An index that has a user's records in the order in which they are listed."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_records_of_user", "records", ["user_id", "created_at", "id"])
    op.drop_index("ix_records_user_id", "records")


def downgrade() -> None:
    op.create_index("ix_records_user_id", "records", ["user_id"])
    op.drop_index("ix_records_of_user", "records")
