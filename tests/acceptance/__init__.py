"""The product as a newcomer starts it, and as its users use it."""
