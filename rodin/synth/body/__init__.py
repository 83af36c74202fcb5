"""The geometry of a synthetic avatar: head, hair, clothes and what it wears."""
