"""Ways of keeping circuits."""
