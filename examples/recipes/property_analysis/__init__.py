"""Analyses of listings for several kinds of readers, made before they ask."""
