//! `eligibility`: may an image upgrade an installed Windows?
