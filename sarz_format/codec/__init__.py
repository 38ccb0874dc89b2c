"""The learned codec in integers: everything between a tile's pixels in dB and its bytes. Imports torch and numba."""
