"""Claims of papers as runs, statistics and verdicts that were fixed before: docs/claims.md."""
