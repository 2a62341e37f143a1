"""Public data sets in the layouts in which they are downloaded: which videos they hold, and how one is read.

One file per family of formats; `names` has the list of all. Files are taken to be hostile: sizes are checked before
memory is taken, names can't lead out of the folder, and nothing is unpickled.
"""
