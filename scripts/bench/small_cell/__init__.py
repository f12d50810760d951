"""What a small cell takes beside its epochs: `cells` runs it, by parts whose functions `parts` times."""
