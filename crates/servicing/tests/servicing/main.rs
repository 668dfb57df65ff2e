//! The servicing crate from outside: steps on small images, and what is told of images.

mod apps;
mod eligibility;
mod files;
mod health;
mod hostile;
mod inventory;
mod metadata;
mod packages;
mod placed;
mod provenance;
mod registry;
mod windows;
