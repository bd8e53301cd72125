"""Recipes: how stages follow one another."""
