"""Jobs know their request; the index of open ones has those that wait, too."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("request_id", sa.String))
    op.add_column("jobs", sa.Column("traceparent", sa.String))
    _index_open("'queued', 'running', 'waiting'")


def downgrade() -> None:
    _index_open("'queued', 'running'")
    op.drop_column("jobs", "traceparent")
    op.drop_column("jobs", "request_id")


def _index_open(states: str) -> None:
    op.drop_index("ix_jobs_open", "jobs")
    op.create_index("ix_jobs_open", "jobs", ["state"], postgresql_where=f"state IN ({states})")
