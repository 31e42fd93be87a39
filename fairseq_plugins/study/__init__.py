"""Many runs under control, from one file: what is compared, what is held equal, and the engine that trains it."""
