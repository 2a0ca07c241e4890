"""The bundled sample pictures: photographs to adapt from, and drawings of the same classes to be surprised by."""
