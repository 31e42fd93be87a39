"""How good sparse attention can be: output errors, losses and BLEU of a trained model under every mixing.

After Gupta & Berant, *Value-aware Approximate Attention*, EMNLP 2021, arXiv 2103.09857.
"""

import fairseq_plugins.models  # noqa: F401  its repairs and registration come before fairseq's own modules
