"""What is trained on: subjects in pictures, fitted planes in shards, and what their attributes say."""
