"""Ways of keeping pace."""
