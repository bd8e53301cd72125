"""Which rows an expensive annotator should judge, and which a cheap one: hybrid preferences, arXiv:2410.19133."""
