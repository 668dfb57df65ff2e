//! The demonstration's recipe.
