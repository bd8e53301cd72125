"""Encoding: from text to token ids, kept on disk."""
