"""How a torch function uses a parameter: with gradients for selected entries alone, or with each row's own weights."""
