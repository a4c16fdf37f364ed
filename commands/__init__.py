"""The write side: everything that turns a request into a record on the log."""
