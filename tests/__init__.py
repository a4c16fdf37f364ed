"""Tests, from domain tables to the real stack."""
