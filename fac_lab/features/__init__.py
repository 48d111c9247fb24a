"""From texts to SAE feature statistics: the subject model, its sparse autoencoder, and what they measure."""
