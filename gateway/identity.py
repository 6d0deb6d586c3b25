"""Who is this? Merge rules as pure functions. See model.md's rules 1 to 8, quoted at each function."""
