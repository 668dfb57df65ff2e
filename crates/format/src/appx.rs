//! Appx and MSIX packages and bundles.
