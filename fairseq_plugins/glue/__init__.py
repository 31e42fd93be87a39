"""GLUE for fairseq: from the published files to a table (Wang et al. 2019, arXiv 1804.07461).

``tasks`` the nine tasks · ``readers`` their files · ``binarise`` what fairseq's ``sentence_prediction`` reads ·
``pretrained`` and ``finetuning`` how a checkpoint is fine-tuned · ``metrics`` and ``evaluate`` scores on the
development sets · ``table`` the table · ``toy`` two tasks of made-up text.
"""
