"""The mitigation methods that spurbench ships, one file each; to the harness, a plugin package like any other."""
