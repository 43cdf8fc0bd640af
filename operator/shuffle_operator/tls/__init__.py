"""A certificate authority for each job, out of one seed: nobody has to manage a certificate."""
