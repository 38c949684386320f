"""Structured decoding as pure functions: linear-chain CRFs and maximum spanning trees."""
