"""The graph: types, nodes, op records and the builder that inserts them."""
