"""One offline page on which the attention of a trained model is seen, token by token.

B batch, H heads, L layers, T queries, S keys; sites are ``encoder``, ``decoder`` (both self-attention) and ``cross``.
"""
