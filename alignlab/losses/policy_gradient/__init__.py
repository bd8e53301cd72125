"""Policy gradients on lists of drawn responses: the advantage of a response comes from the rewards of others.

Advantages are data, without gradient. `token_where` tells the tokens that count, and `token_weights` what each weighs:
modifiers of lists (`modifiers=[truncated_is]`) put others in their place.
"""
