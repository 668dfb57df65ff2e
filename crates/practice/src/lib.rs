//! Makes practice media: small, but structurally real Windows installation media.
//!
//! [`write_medium`] writes an ISO with `boot.wim`, `install.wim` and `winre.wim` inside, hives, a component store and provisioned
//! apps; [`recipe::files`] gives a recipe that uses every step on it. Names and structures are those of Windows 11; the bytes
//! of every file are generated, and the same each time: nothing here is Microsoft's. A size of gigabytes needs no more memory
//! than the trees of names, since contents are generated while they are written. What is in a medium, and how it differs from
//! Microsoft's: `docs/reference/practice.md`.

mod apps;
pub mod boot;
mod captured;
mod contents;
mod data;
mod disc;
mod error;
mod generated;
mod hives;
mod identity;
mod info;
mod manifests;
mod msix;
mod packages;
mod preinstallation;
mod program;
pub mod recipe;
mod security;
pub mod store;
mod system;
mod tree;
pub mod updates;
mod windows;

pub use disc::{Capture, Options, write_medium};
pub use error::Error;
