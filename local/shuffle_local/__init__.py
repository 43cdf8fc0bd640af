"""What runs on one machine: the program `shuffle`, and whole jobs. May know all the other packages."""
