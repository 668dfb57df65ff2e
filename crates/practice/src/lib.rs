//! Makes practice media: small, but structurally real Windows installation media.

pub mod boot;
