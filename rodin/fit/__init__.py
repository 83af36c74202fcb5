"""Fitting (Rodin, Sec. 3.1): a shared decoder over many subjects, then the tri-planes of each subject by itself."""
