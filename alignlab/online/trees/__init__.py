"""Tree search over the steps of a response, and pairs of steps made of it."""
