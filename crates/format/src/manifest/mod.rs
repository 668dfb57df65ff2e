//! Manifests: the XML that says what a Windows component, deployment or package is and what installing it does.
//!
//! Three kinds share one root element, `assembly`, and one identity (`assemblyIdentity`):
//!
//! - A **component** manifest (`WinSxS\Manifests\<keyform>.manifest`) lists files with their hashes, registry keys,
//!   directories, services and whatever else belongs to one indivisible unit.
//! - A **deployment** is a component whose manifest says `<deployment/>`; it installs the components it depends on.
//! - A **package** manifest (`.mum`) says when it is applicable and which deployments, drivers and packages it carries.
//!
//! Every name in the component store follows from the identity alone: the directory, the registry keys, the reference
//! counts ([`identity`], [`store_name`]). [`component`] and [`package`] read the two documents; [`stored`] tells a
//! plain manifest from one stored as a delta. Nothing is dropped silently: what has no field of its own is kept as
//! [`OtherElement`].
//!
//! Sources are named at each item; the whole stands in `docs/formats/manifest.md`.

pub mod component;
#[cfg(test)]
pub(crate) mod corpus;
mod error;
pub mod identity;
pub mod macros;
mod other;
pub mod package;
pub mod store_name;
pub mod stored;
mod version;
mod xml;

pub use component::{Component, HashAlgorithm};
pub use error::Error;
pub use identity::{Identity, PackageId};
pub use other::OtherElement;
pub use package::Package;
pub use version::Version;
