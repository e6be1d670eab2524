"""What reading questions back needs: sources with their licences, difficulty, and indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("licence", sa.String),
        sa.Column("attribution", sa.String),
    )
    op.execute("INSERT INTO sources (name) SELECT DISTINCT source FROM questions")
    op.create_foreign_key(
        "fk_questions_source_sources", "questions", "sources", ["source"], ["name"]
    )
    op.add_column("questions", sa.Column("difficulty", sa.String))
    op.create_index("ix_questions_of_source", "questions", ["source", "id"])
    op.create_index("ix_questions_of_category", "questions", [sa.text("lower(category)"), "id"])
    op.create_index(
        "ix_questions_words",
        "questions",
        [sa.text("to_tsvector('english', (question || ' ') || answer)")],
        postgresql_using="gin",
    )


def downgrade() -> None:
    for index in ("words", "of_category", "of_source"):
        op.drop_index(f"ix_questions_{index}", "questions")
    op.drop_column("questions", "difficulty")
    op.drop_constraint("fk_questions_source_sources", "questions")
    op.drop_table("sources")
