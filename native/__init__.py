"""The hot modules compiled by mypyc: which they are, how they are compiled, which build is used."""
