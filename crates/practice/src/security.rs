//! Who may do what with which file: security descriptors as they stand on installed and on fresh Windows images.
//!
//! SDDL has no abbreviation for some accounts: `{TI}` stands for `NT SERVICE\TrustedInstaller`, `{RC}` for all restricted
//! application packages.

/// `NT SERVICE\TrustedInstaller`.
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
/// All restricted application packages.
const RESTRICTED_PACKAGES: &str = "S-1-15-2-2";

/// The text with every account spelled out.
pub(crate) fn spelled_out(sddl: &str) -> String {
    sddl.replace("{TI}", TRUSTED_INSTALLER).replace("{RC}", RESTRICTED_PACKAGES)
}

/// Junctions for old programs: nobody may list them.
pub(crate) const JUNCTION: &str = "O:SYG:SYD:PAI(D;;CC;;;WD)(A;;0x1200a9;;;WD)(A;;FA;;;SY)(A;;FA;;;BA)";
/// A file of Windows that only its installer may change.
pub(crate) const SYSTEM_FILE: &str =
    "O:{TI}G:{TI}D:PAI(A;;0x1200a9;;;SY)(A;;0x1200a9;;;BA)(A;;0x1200a9;;;BU)(A;;FA;;;{TI})(A;;0x1200a9;;;AC)(A;;0x1200a9;;;{RC})";

/// Descriptors of a directory itself, of directories in it, and of files in it.
struct Rule {
    path: &'static str,
    own: &'static str,
    directory: &'static str,
    file: &'static str,
}

const WINDOWS_DIRECTORY: &str = "O:{TI}G:{TI}D:PAI(A;OICIIO;GA;;;CO)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;BA)(A;;0x1301bf;;;BA)(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;BU)(A;CIIO;GA;;;{TI})(A;;FA;;;{TI})(A;;0x1200a9;;;AC)(A;OICIIO;GXGR;;;AC)(A;;0x1200a9;;;{RC})(A;OICIIO;GXGR;;;{RC})";
const USERS_INHERITED: &str =
    "O:SYG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;OICIIOID;GXGR;;;BU)(A;ID;0x1200a9;;;WD)(A;OICIIOID;GXGR;;;WD)";
const USERS_FILE: &str = "O:SYG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;ID;0x1200a9;;;WD)";
const PROTECTED: &str = "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
const PROTECTED_INHERITED: &str = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)";
const PROTECTED_FILE: &str = "O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)";
const APPS_DIRECTORY: &str = "O:{TI}G:{TI}D:PAI(A;OICI;0x1200a9;;;S-1-15-3-1024-3635283841-2530182609-996808640-1887759898-3848208603-3313616867-983405619-2501854204)(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;BA)(A;CI;0x1200a9;;;BU)(A;OICI;FA;;;{TI})";

/// Longest path first where one lies in another.
const RULES: [Rule; 10] = [
    Rule { path: "/WINDOWS/SYSTEM32/CONFIG", own: PROTECTED, directory: PROTECTED_INHERITED, file: PROTECTED_FILE },
    Rule {
        path: "/WINDOWS/TEMP",
        own: "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;CI;CCDCWPRC;;;BU)(A;OICIIO;GA;;;CO)",
        directory: PROTECTED_INHERITED,
        file: PROTECTED_FILE,
    },
    Rule { path: "/WINDOWS", own: WINDOWS_DIRECTORY, directory: WINDOWS_DIRECTORY, file: SYSTEM_FILE },
    Rule { path: "/PROGRAM FILES/WINDOWSAPPS", own: APPS_DIRECTORY, directory: APPS_DIRECTORY, file: SYSTEM_FILE },
    Rule { path: "/PROGRAM FILES", own: WINDOWS_DIRECTORY, directory: WINDOWS_DIRECTORY, file: SYSTEM_FILE },
    Rule { path: "/PROGRAM FILES (X86)", own: WINDOWS_DIRECTORY, directory: WINDOWS_DIRECTORY, file: SYSTEM_FILE },
    Rule {
        path: "/PROGRAMDATA",
        own: "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(A;CI;DCLCRPCR;;;BU)",
        directory: "O:SYG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)",
        file: "O:SYG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)",
    },
    Rule {
        path: "/USERS/PUBLIC",
        own: "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1201bf;;;IU)(A;OICI;0x1201bf;;;SU)(A;OICI;0x1201bf;;;S-1-5-3)",
        directory: "O:SYG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1201bf;;;IU)",
        file: "O:SYG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1201bf;;;IU)",
    },
    Rule {
        path: "/USERS",
        own: "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;WD)(A;OICIIO;GXGR;;;WD)",
        directory: USERS_INHERITED,
        file: USERS_FILE,
    },
    Rule {
        path: "",
        own: "O:{TI}G:{TI}D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)(A;OICIIO;GA;;;BA)(A;;FA;;;BA)(A;OICI;0x1200a9;;;BU)",
        directory: "O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;BA)(A;ID;FA;;;SY)(A;OICIIOID;GA;;;SY)(A;OICIID;0x1200a9;;;BU)",
        file: "O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)",
    },
];

/// The descriptor of a directory or file by its path.
pub(crate) fn of(path: &str, is_directory: bool) -> &'static str {
    let path = path.to_uppercase();
    let inside = |rule: &&Rule| path.strip_prefix(rule.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match RULES.iter().find(inside) {
        Some(rule) if path == rule.path => rule.own,
        Some(rule) if is_directory => rule.directory,
        Some(rule) => rule.file,
        None => SYSTEM_FILE,
    }
}
