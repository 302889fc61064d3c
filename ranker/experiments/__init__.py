"""The experiments of `ctrlrec evaluate`: what a bundle has learned, where it can take a feed, what that costs, and what is
understood of other catalogues.
"""
