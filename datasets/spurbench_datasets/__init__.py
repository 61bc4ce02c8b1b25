"""The data sets that spurbench ships, one file each; to the harness they are a plugin package like any other."""
