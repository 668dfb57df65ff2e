//! From a recipe to serviced media.

mod durable;
pub mod events;
pub mod job;
pub mod library;
pub mod output;
pub mod recipe;
pub mod report;
pub mod run;

pub use durable::FileError;
