"""What the encoder and the training loop cost, measured beside PyTorch Geometric on a graph of PrimeKG's shape."""
