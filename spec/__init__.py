"""What the user says: places, errors, the two surface forms, the tree, static values."""
