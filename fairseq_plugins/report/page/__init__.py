"""The one page of a study, and its twins for papers and programs."""
