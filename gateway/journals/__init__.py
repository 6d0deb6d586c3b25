"""Ways of keeping the raw inbound log."""
