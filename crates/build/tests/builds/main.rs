//! Builds on the practice medium: what is kept, what is made again, and what is never overwritten.

mod cache;
mod keys;
mod media;
mod packages;
mod workshop;
