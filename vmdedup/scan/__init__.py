"""What memory dumps hold: zero, distinct and shared pages, inside each and between them."""
