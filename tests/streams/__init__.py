"""Tests of the host and of the auditor's tools."""
