"""Each prompt once for all its responses: layouts, attention over packed rows, and the proof that they are exact."""
