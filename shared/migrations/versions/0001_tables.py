"""Jobs, users, records with their chunks and peaks, questions."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _time(name: str, *, default: bool = False) -> sa.Column[datetime]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=not default,
        server_default=sa.func.now() if default else None,
    )


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("parent_id", sa.Uuid, sa.ForeignKey("jobs.id"), index=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, server_default="queued"),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        sa.Column("result", postgresql.JSONB),
        sa.Column("error", postgresql.JSONB),
        sa.Column("progress", sa.Float, nullable=False, server_default="0"),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_token", sa.Uuid),
        _time("lease_until"),
        _time("not_before", default=True),
        _time("hinted_at", default=True),
        _time("created_at", default=True),
        _time("finished_at"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'waiting', 'done', 'failed')", name="state"
        ),
        sa.CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease"),
        sa.CheckConstraint("(state IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="end"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["state"],
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )

    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_key", sa.String, nullable=False, unique=True),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        _time("created_at", default=True),
    )

    op.create_table(
        "records",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id"), nullable=False, unique=True),
        sa.Column("filename", sa.String, nullable=False),
        _time("created_at", default=True),
        sa.Column("duration_seconds", sa.Float),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("sha256", sa.LargeBinary),
        _time("stored_at"),
    )

    op.create_table(
        "chunks",
        sa.Column(
            "record_id",
            sa.Uuid,
            sa.ForeignKey("records.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_chunks_place", "chunks", ["record_id", "start"])
    # MP3 does not compress: EXTERNAL saves PostgreSQL the attempt on every chunk.
    op.execute("ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL")

    op.create_table(
        "pieces",
        sa.Column(
            "record_id",
            sa.Uuid,
            sa.ForeignKey("records.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("segment", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("ends", sa.LargeBinary, nullable=False),
    )

    op.create_table(
        "peaks",
        sa.Column(
            "record_id",
            sa.Uuid,
            sa.ForeignKey("records.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )

    op.create_table(
        "questions",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("source_id", sa.String, nullable=False),
        sa.Column("question", sa.String, nullable=False),
        sa.Column("text_key", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("category", sa.String),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _time("saved_at", default=True),
        sa.UniqueConstraint("source", "source_id"),
    )


def downgrade() -> None:
    for table in ("questions", "peaks", "pieces", "chunks", "records", "users", "jobs"):
        op.drop_table(table)
