//! Answer files (unattend.xml): passes, components, checks.
