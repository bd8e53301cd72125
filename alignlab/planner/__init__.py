"""What a run will take of memory, before it runs."""
