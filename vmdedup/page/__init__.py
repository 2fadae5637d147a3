"""Pages that people open in a browser: one file each, which needs no network.

document    a whole page, from its title, its body and its script
style.css   what all pages look like, in the dark and in the light
"""
