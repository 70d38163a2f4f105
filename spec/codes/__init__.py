"""What each error code means, with a spec that earns it and the same spec mended (`*.md` here)."""
