"""One pass of a frozen model over rows, kept on disk by content."""
