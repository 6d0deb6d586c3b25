"""What the partner API and the console do with what is stored: read it under a grant, and act on it with a trace."""
