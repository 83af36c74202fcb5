"""The addresses of the studio, a file for each kind of thing that is asked for."""
