"""What a person asks for in words, understood in terms of the recipe of the synthetic avatars.

`lexicon` says what words mean, `tokens` finds them, `grammar` reads from them what is asked for and what is denied, and
`completion` draws what the prompt leaves open, so that the model can be given a whole caption.
"""
