"""Tools for the development of the package, which does not import them."""
