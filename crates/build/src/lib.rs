//! From a recipe to serviced media.

pub mod recipe;
pub mod report;
