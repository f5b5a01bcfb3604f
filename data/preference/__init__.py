"""Human preference between models or data sets: a local page of pairs, durable votes, ranks."""
