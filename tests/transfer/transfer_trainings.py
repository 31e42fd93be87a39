"""What the trainings of this folder's tests are: options of :mod:`tiny_training`, for any variant."""

import tiny_training

TRANSLATION = tiny_training.KINDS["adam"].replace("transformer_", "transformer_{variant}_")
MASKED_LM = tiny_training.KINDS["mlm"].replace("roberta_", "roberta_{variant}_")
