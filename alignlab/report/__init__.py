"""What runs came to: plots, warnings in words, pages and tables, all from files of run folders."""
