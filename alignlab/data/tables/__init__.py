"""Tables: checked rows on disk, and what identifies them."""
