"""Random networks that are valid, and the same in torch, made together."""
