"""svdjax: latent video diffusion in JAX."""

__version__ = '0.1.0'
