"""The demo market of `make run`: its users, its bots, and the processes around them."""
