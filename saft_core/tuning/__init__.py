"""Selection, sparse training and evaluation: pure torch, no database."""
