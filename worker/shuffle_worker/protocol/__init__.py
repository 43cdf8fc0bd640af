"""What workers and coordinator say to each other (`messages`), and what workers send their peers (`frames`)."""
