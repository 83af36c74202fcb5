"""What is said of a synthetic avatar: its caption, other wordings, prompts."""
