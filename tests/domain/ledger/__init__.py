"""Tests of the double entry."""
