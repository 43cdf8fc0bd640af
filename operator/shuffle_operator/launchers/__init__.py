"""How workers come to be: `base` is the contract, `local` makes them processes of this machine."""
