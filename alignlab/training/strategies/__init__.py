"""How a model is trained on several ranks: who they are, how they start, and one engine a file."""
