"""Plots, warnings in words, pages and tables of results, all made from the files of run folders."""
