"""Uploads that may arrive over many requests."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resumable_uploads",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("length_bytes", sa.BigInteger, nullable=False),
        sa.Column("upload_metadata", sa.String, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
    )
    op.create_index("ix_resumable_uploads_created_at", "resumable_uploads", ["created_at"])


def downgrade() -> None:
    op.drop_table("resumable_uploads")
