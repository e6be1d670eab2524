"""Users can be found by their tokens alone."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_users_token_sha256", "users", ["token_sha256"])


def downgrade() -> None:
    op.drop_index("ix_users_token_sha256")
