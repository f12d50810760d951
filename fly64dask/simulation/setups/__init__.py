"""What is not ideal about a simulated experiment: starting probe, positions, coherence and detector."""
