"""From hostile uploads to labelled samples."""
