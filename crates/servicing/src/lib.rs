//! What changes to a Windows image mean. Steps are functions from image to image.

pub mod apps;
pub mod cbs;
pub mod eligibility;
pub mod files;
mod inheritance;
pub mod inventory;
pub mod metadata;
pub mod pattern;
pub mod placed;
pub mod provenance;
pub mod registry;
pub mod step;
