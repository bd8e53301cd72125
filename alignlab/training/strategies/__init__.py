"""The training of a model on several ranks: who they are, how they start, and one engine a file."""
