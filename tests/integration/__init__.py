"""The whole stack as `logbourse run` starts it, judged by its clients."""
