"""Raw text through a trained model, line by line: translation, completion, masks filled."""
