//! From a recipe to serviced media.
