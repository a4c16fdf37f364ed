"""The HTTP contract that order entry and the query API share: errors, parameters, limits, frame."""
