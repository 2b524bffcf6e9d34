"""What a real line is, as a link to emulate and model."""
