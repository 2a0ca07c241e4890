"""SAFT without web, queue or page: the model, the training, the deltas, the serving and the store."""
