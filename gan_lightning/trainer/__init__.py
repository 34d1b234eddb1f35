"""Where and how fast a game is trained: what conf/trainer answers."""
