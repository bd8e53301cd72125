"""Tables hold checked rows on disk, under fingerprints that identify them."""
