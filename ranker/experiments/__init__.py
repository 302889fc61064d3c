"""The experiments of `ctrlrec evaluate`: what a bundle has learned, where it can take a feed, and what that costs."""
