"""What a training run needs, before anything is rented."""
