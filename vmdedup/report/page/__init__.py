"""Results as one HTML page: `vmdedup report`.

reading      what each path that was named is
runs         runs, beside each other
sweeps       a sweep
scans        what memory dumps hold
whole        the page
"""
