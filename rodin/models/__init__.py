"""The parts of a model: networks that are trained, with what reads words and pictures for them (Rodin, Sec. 3.2 and
3.3)."""
