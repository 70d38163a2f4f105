"""Rewrites of the graph, one verb a file."""
