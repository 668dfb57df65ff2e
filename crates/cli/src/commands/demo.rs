//! `demo`: makes a practice medium, services it, checks the result.
