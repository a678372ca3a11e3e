"""Tasks and the sessions that work on them: where each stands, what an end means, how fast to go on."""
