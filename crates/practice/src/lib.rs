//! Makes practice media: small, but structurally real Windows installation media.
