"""Translation models for CTranslate2, and its beam search with the options that make it fairseq's."""
