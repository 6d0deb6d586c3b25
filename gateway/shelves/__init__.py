"""Ways of keeping documents."""
