"""Encoding turns the text of examples into token ids, stored on disk."""
