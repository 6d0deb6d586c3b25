"""Ways of keeping keys."""
