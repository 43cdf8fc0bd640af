"""Apply: a function of the user's for each group or partition."""
