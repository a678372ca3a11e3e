"""The policy: its schema, its values, and what follows from them."""
