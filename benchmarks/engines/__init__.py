"""One module for each engine that is measured; `registry` lists them."""
