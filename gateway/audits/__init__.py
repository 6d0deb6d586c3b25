"""Ways of keeping the trail of acts."""
