//! Component based servicing: what Windows packages mean to an image, and how they are installed into it.
//!
//! A **package** (`.mum`) carries **updates**; an update carries a deployment, a driver or another package; a deployment stands
//! for the **components** that it depends on; a component (`.manifest`) is files, registry values and settings that belong
//! together. The **component store** (`WinSxS`, the COMPONENTS hive, keys of the SOFTWARE hive) holds them all, by names that
//! follow from their identities alone. Of all installed versions of a component the highest is the **winner**: its files are
//! projected from the store to their places by hard links, its values stand in the registry.
//!
//! Sources: facts of `docs/formats/cbs.md`, each with its origin and how sure it is.

pub mod cleanup;
pub mod dictionary;
pub mod effects;
pub mod expand;
pub mod health;
pub mod install;
pub mod listing;
pub mod plan;
pub mod setup;
pub mod source;
pub mod state;
pub mod step;
pub mod store;
pub mod verify;
