"""Training: one loop that knows no model, and one module a stage."""
