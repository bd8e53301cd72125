"""Questions to a trained policy, each answered by a table and a picture."""
