"""The lab: an embedded world with an exact reward, and a tiny model that has read about it."""
