"""What a training process needs besides models: files that are whole or not there, and an end in good order."""
