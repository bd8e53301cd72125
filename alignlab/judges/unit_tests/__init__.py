"""Programs judged by running their tests, in a sandbox."""
