"""A trained policy over HTTP: values of responses for those who train on them, responses for those who draw them."""
