"""Pictures of networks: `sketch` and `fold` say what to draw, `layout` where, the rest how."""
