//! Microsoft's packages. What is expected was written from reading their manifests.

use wimwright_format::manifest::package::{Comparison, Parent};
use wimwright_format::manifest::{Identity, PackageId, Version};

use super::fixture::*;
use crate::cbs::plan::applicability::fits;
use crate::cbs::plan::{Decision, Disable, Plan, Request, plan};
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;

const SERVER_20348: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";
const SERVER_19041: &str = "OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";
const CLIENT_19041: &str = "OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab";
const EXPLORER: &str = "microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab";
const EXPLORER_ENGLISH: &str = "Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~en-US~.cab";
const BRIDGE: &str = "Windows6.1-KB2465285-x64.msu";
const BOOT: &str = "Windows8.1-KB2937592-x86.msu";
const RECOVERY: &str = "Windows6.1-KB2883457-amd64.cab";
const RUNTIME_7: &str = "KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab";
const RUNTIME_8_1: &str = "KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab";
const RUNTIME_VISTA: &str = "KB2999226/Windows6.0-x86/Windows6.0-KB2999226-x86.cab";
const ALL: [&str; 18] = [
    SERVER_20348,
    SERVER_19041,
    CLIENT_19041,
    EXPLORER,
    EXPLORER_ENGLISH,
    BRIDGE,
    BOOT,
    RECOVERY,
    RUNTIME_7,
    RUNTIME_8_1,
    RUNTIME_VISTA,
    "KB2999226/Windows8-RT-x86/Windows8-RT-KB2999226-x86.cab",
    "Windows6.1-KB2584475-x86.msu",
    "Windows6.1-KB2780124-x64.msu",
    "Windows6.1-KB3040017-x86.msu",
    "Windows8.1-KB2938772-x64.cab",
    "HyperV-IC-2017-windows6.2-hypervintegrationservices-x86.cab",
    "HyperV-IC-2019-Windows6.2-HyperVIntegrationServices-x64.cab",
];

/// A package's identity: token and all.
fn of(name: &str, architecture: &str, language: &str, version: &str) -> String {
    format!("{name}~31bf3856ad364e35~{architecture}~{language}~{version}")
}

/// A component as the packages name it.
fn part(name: &str, architecture: &str, language: Option<&str>, version: &str) -> Identity {
    Identity {
        name: name.into(),
        version: version.parse().unwrap(),
        architecture: Some(architecture.into()),
        language: language.map(Into::into),
        public_key_token: Some("31bf3856ad364e35".into()),
        version_scope: Some("nonSxS".into()),
        build_type: Some("release".into()),
        ..Identity::default()
    }
}

fn sources(paths: &[&str]) -> Option<Vec<PackageSource>> {
    paths.iter().map(|path| real(path)).collect()
}

/// Image of the given plan, with the packages of the deliveries as they stand after it.
fn after(windows: Windows, plan: &Plan, sources: &[PackageSource]) -> Windows {
    let mut last: std::collections::BTreeMap<&PackageId, State> = std::collections::BTreeMap::new();
    plan.changes.iter().for_each(|change| _ = last.insert(&change.package, change.after));
    let installs = plan.changes.iter().filter(|change| change.source.is_some());
    installs.fold(windows, |windows, change| {
        let bytes = sources[change.source.unwrap()].package(&change.package).unwrap().manifest_bytes.clone();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let mut states = vec![State::ABSENT; change.manifest.updates.len()];
        change.updates.iter().for_each(|update| states[update.update] = update.after);
        let owners: Vec<String> = change.owners.iter().filter(|owner| **owner != change.package).map(ToString::to_string).collect();
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        windows.package(text.trim_start_matches('\u{feff}'), last[&change.package], &states, &owners)
    })
}

/// Every condition on a version in Microsoft's packages: it holds for the version that it names, and for greater ones as its knobs say.
#[test]
fn real_parents_fit_the_version_that_they_name() {
    let Some(sources) = sources(&ALL) else { return };
    fn walk<'p>(parent: &'p Parent, found: &mut Vec<(&'p Parent, Version)>) {
        found.extend(parent.identities.iter().map(|identity| (parent, identity.version)));
        parent.parents.iter().for_each(|parent| walk(parent, found));
    }
    let manifests: Vec<_> = sources.iter().flat_map(PackageSource::packages).map(|(_, package)| package.manifest.clone()).collect();
    let mut found = Vec::new();
    manifests.iter().flat_map(|manifest| &manifest.parents).for_each(|parent| walk(parent, &mut found));
    for (parent, version) in &found {
        let Version([a, b, c, d]) = *version;
        let compare = parent.compare;
        assert!(fits(compare, *version, *version));
        let last = [compare.service, compare.revision, compare.distribution].contains(&Some(Comparison::GreaterOrEqual));
        assert_eq!(fits(compare, *version, Version([a, b, c, d + 1])), last, "{parent:?}");
        assert_eq!(fits(compare, *version, Version([a, b, c + 1, 0])), compare.build == Some(Comparison::GreaterOrEqual), "{parent:?}");
        assert!(d == 0 || !fits(compare, *version, Version([a, b, c, d - 1])), "{parent:?}");
        assert!(c == 0 || !fits(compare, *version, Version([a, b, c - 1, u16::MAX])), "{parent:?}");
    }
    assert_eq!((manifests.len(), found.len()), (150, 433));
}

#[test]
fn real_packages_without_their_parents_do_not_apply() {
    let Some(sources) = sources(&ALL) else { return };
    for (number, source) in sources.iter().enumerate() {
        let windows = Windows::new(if source.root.architecture == "x86" { "0" } else { "9" });
        let error = refused(&windows.store(), &sources, &install(&[number])).to_string();
        let wanted = if ALL[number] == RECOVERY { "recovery environment" } else { "is not there" };
        assert!(error.contains(&source.root.to_string()) && error.contains(wanted), "{error}");
    }
}

fn server_2022() -> Windows {
    Windows::new("9").has_id(&of("Microsoft-Windows-Server-Features-Package", "amd64", "", "10.0.20348.1"))
}

#[test]
fn real_openssh_server() {
    let Some(sources) = sources(&[SERVER_20348]) else { return };
    let expected = "
        Microsoft-OneCore-LibreSSL-Package@10.0.20348.1: Not Present > Installed from 0 hidden, of OpenSSH-Server-Package@10.0.20348.1
          4ecf84d097cce24d24bb3fb06e7a6364: Not Present > Installed
        Microsoft-OneCore-OpenSSH-Common-Package@10.0.20348.1: Not Present > Installed from 0 hidden, of OpenSSH-Server-Package@10.0.20348.1
          2e4295e92f24c65554a9e441d71eb8fc: Not Present > Installed
        Microsoft-OneCore-OpenSSH-ServerOnly-Package@10.0.20348.1: Not Present > Installed from 0 hidden, of OpenSSH-Server-Package@10.0.20348.1
          3bcb697a625e54813632c40c592c005b: Not Present > Installed
        OpenSSH-Server-Package@10.0.20348.1: Not Present > Installed from 0, of itself
          71465b25776f40e3b5566d0bc345e5f0: Not Present > Installed
          34ef48c4ff06db6983bd3b07e4284e09: Not Present > Installed
          295e9f30539797e91db9daed8b998113: Not Present > Installed";
    same(&planned(&server_2022().store(), &sources, &install(&[0])), expected);
    let capability = Request { capabilities: vec!["OpenSSH.Server~~~~0.0.1.0".into()], ..Request::default() };
    same(&planned(&server_2022().store(), &sources, &capability), expected);
    // Windows 10 2004 is too old for it.
    let old = Windows::new("9").has_id(&of("Microsoft-Windows-Client-Features-Package", "amd64", "", "10.0.19041.1"));
    let error = refused(&old.store(), &sources, &install(&[0])).to_string();
    assert!(error.contains("is there as 10.0.19041.1, not 10.0.20348.1 or newer"), "{error}");
    // A later one, and one with its parent lifted by an update, is not.
    for version in ["10.0.22621.1", "10.0.20348.2700"] {
        let newer = Windows::new("9").has_id(&of("Microsoft-Windows-Client-Features-Package", "amd64", "", version));
        same(&planned(&newer.store(), &sources, &install(&[0])), expected);
    }
}

#[test]
fn real_openssh_client_and_server_share_packages_and_are_superseded() {
    let Some(sources) = sources(&[CLIENT_19041, SERVER_19041, SERVER_20348]) else { return };
    let windows = || Windows::new("9").has_id(&of("Microsoft-Windows-Client-Features-Package", "amd64", "", "10.0.20348.1"));
    let first = plan(&windows().store(), &sources, &install(&[1, 0])).unwrap();
    let owners = |plan: &Plan, name: &str| {
        let change = plan.changes.iter().find(|change| change.package.to_string() == of(name, "amd64", "", "10.0.19041.1")).unwrap();
        change.owners.iter().map(|owner| owner.name.clone()).collect::<Vec<_>>()
    };
    let both = ["OpenSSH-Client-Package", "OpenSSH-Server-Package"];
    assert_eq!(owners(&first, "Microsoft-OneCore-LibreSSL-Package"), both);
    assert_eq!(owners(&first, "Microsoft-OneCore-OpenSSH-Common-Package"), both);
    assert_eq!(owners(&first, "Microsoft-OneCore-OpenSSH-ClientOnly-Package"), [both[0]]);
    assert_eq!(first.changes.len(), 6);
    // The newer server over it: everything that it brings anew supersedes, the client stays.
    let newer = planned(&after(windows(), &first, &sources).store(), &sources, &install(&[2]));
    let lines: Vec<&str> = newer.lines().filter(|line| !line.starts_with(' ')).collect();
    let hidden = "hidden, of OpenSSH-Client-Package@10.0.19041.1 and OpenSSH-Server-Package@10.0.19041.1";
    same(
        &lines.join("\n"),
        &format!(
            "Microsoft-OneCore-LibreSSL-Package@10.0.20348.1: Not Present > Installed from 2 hidden, of OpenSSH-Server-Package@10.0.20348.1
             Microsoft-OneCore-LibreSSL-Package@10.0.19041.1: Installed > Superseded {hidden}
             Microsoft-OneCore-OpenSSH-Common-Package@10.0.20348.1: Not Present > Installed from 2 hidden, of OpenSSH-Server-Package@10.0.20348.1
             Microsoft-OneCore-OpenSSH-Common-Package@10.0.19041.1: Installed > Superseded {hidden}
             Microsoft-OneCore-OpenSSH-ServerOnly-Package@10.0.20348.1: Not Present > Installed from 2 hidden, of OpenSSH-Server-Package@10.0.20348.1
             Microsoft-OneCore-OpenSSH-ServerOnly-Package@10.0.19041.1: Installed > Superseded hidden, of OpenSSH-Server-Package@10.0.19041.1
             OpenSSH-Server-Package@10.0.20348.1: Not Present > Installed from 2, of itself
             OpenSSH-Server-Package@10.0.19041.1: Installed > Superseded, of itself"
        ),
    );
}

#[test]
fn real_internet_explorer_and_its_language() {
    let Some(sources) = sources(&[EXPLORER, EXPLORER_ENGLISH]) else { return };
    let windows = || {
        Windows::new("9").has_id(&of("Microsoft-Windows-Foundation-Package", "amd64", "", "10.0.19041.1")).has_id(&of(
            "Microsoft-Windows-Client-LanguagePack-Package",
            "amd64",
            "en-US",
            "10.0.19041.1",
        ))
    };
    let expected = |neutral: &str, english: &str, state: &str| {
        let root = "Microsoft-Windows-InternetExplorer-Optional-Package";
        format!(
            "Microsoft-Windows-InternetExplorer-Package-ua@10.0.19041.1: Not Present > {state} from {neutral} hidden, of {root}@11.0.19041.1
               Microsoft-Windows-InternetExplorer-Package-ua: Not Present > {state}
             {root}@11.0.19041.1: Not Present > Installed from {neutral}, of itself
               Internet-Explorer-Optional-amd64: Not Present > {state}
               Microsoft-Windows-InternetExplorer-Package-ua: Not Present > {state}
             Microsoft-Windows-InternetExplorer-Package-ua~en-US@10.0.19041.1: Not Present > {state} from {english} hidden, of {root}~en-US@11.0.19041.1
               Microsoft-Windows-InternetExplorer-Package-ua: Not Present > {state}
             {root}~en-US@11.0.19041.1: Not Present > Installed from {english}, of itself
               Internet-Explorer-Optional-amd64: Not Present > {state}
               Microsoft-Windows-InternetExplorer-Package-ua: Not Present > {state}"
        )
    };
    let on = expected("0", "1", "Installed");
    same(&planned(&windows().store(), &sources, &install(&[0, 1])), &on);
    same(&planned(&windows().store(), &sources, &install(&[1, 0])), &on);
    let capability = Request { capabilities: vec!["Browser.InternetExplorer".into()], ..Request::default() };
    same(&planned(&windows().store(), &sources, &capability), &on);
    let off = Disable { name: "Internet-Explorer-Optional-amd64".into(), remove_payload: false };
    let off = Request { disable: vec![off], ..install(&[0, 1]) };
    same(&planned(&windows().store(), &sources, &off), &expected("0", "1", "Staged"));
    // On and off in an image that has it.
    let installed = plan(&windows().store(), &sources, &off).unwrap();
    let image = after(windows(), &installed, &sources).store();
    let enable = Request { enable: vec!["internet-explorer-optional-amd64".into()], ..Request::default() };
    let turned_on = planned(&image, &[], &enable);
    assert_eq!(turned_on.matches("Staged > Installed").count(), 8, "{turned_on}");
    // The language alone waits for its parent, which is no installation.
    let error = refused(&windows().store(), &sources, &install(&[1])).to_string();
    assert!(error.contains(&format!("its parent {} is not there", sources[0].root)), "{error}");
}

fn bridge(version: &str) -> Windows {
    Windows::new("9").has_id(&of("Microsoft-Windows-Foundation-Package", "amd64", "", version)).winner(&part(
        "Microsoft-Windows-NetworkBridge",
        "amd64",
        None,
        version,
    ))
}

#[test]
fn real_hotfix_for_windows_7_takes_the_part_of_the_service_pack() {
    let Some(sources) = sources(&[BRIDGE]) else { return };
    same(
        &planned(&bridge("6.1.7601.17514").store(), &sources, &install(&[0])),
        "Package_3_for_KB2465285@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2465285_SP1@6.1.1.0
           2465285-3_neutral_LDR: Not Present > Installed
         Package_for_KB2465285_SP1@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2465285@6.1.1.0
           2465285-7_neutral_PACKAGE: Not Present > Installed
         Package_for_KB2465285@6.1.1.0: Not Present > Installed from 0, of itself
           2465285-10_neutral_PACKAGE: Not Present > Installed",
    );
    // Without service pack: that of the first release, and the other waits for the service pack.
    same(
        &planned(&bridge("6.1.7600.16385").store(), &sources, &install(&[0])),
        "Package_1_for_KB2465285@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2465285_RTM@6.1.1.0
           2465285-1_neutral_LDR: Not Present > Installed
         Package_for_KB2465285_RTM@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2465285@6.1.1.0
           2465285-5_neutral_PACKAGE: Not Present > Installed
         Package_3_for_KB2465285@6.1.1.0: Not Present > Staged from 0 hidden, of Package_for_KB2465285_SP1@6.1.1.0
           2465285-3_neutral_LDR: Not Present > Staged
         Package_for_KB2465285_SP1@6.1.1.0: Not Present > Staged from 0 hidden, of Package_for_KB2465285@6.1.1.0
           2465285-7_neutral_PACKAGE: Not Present > Staged
         Package_for_KB2465285@6.1.1.0: Not Present > Installed from 0, of itself
           2465285-9_neutral_PACKAGE: Not Present > Installed
           2465285-10_neutral_PACKAGE: Not Present > Staged",
    );
    // A later fix brought a newer bridge.
    let newer = bridge("6.1.7601.17514").winner(&part("Microsoft-Windows-NetworkBridge", "amd64", None, "6.1.7601.22000")).store();
    let made = plan(&newer, &sources, &install(&[0])).unwrap();
    assert!(made.changes.is_empty() && made.verdicts[0].decision == Decision::Superseded);
    // Without the component there is nothing to fix.
    let without = Windows::new("9").has_id(&of("Microsoft-Windows-Foundation-Package", "amd64", "", "6.1.7601.17514")).store();
    assert!(refused(&without, &sources, &install(&[0])).to_string().contains("from none to 6.1.7601.21624 (serviceLevel)"));
}

/// The universal C runtime is new in Windows 7: `elevate="install"` is from nothing. The branch with all fixes waits.
#[test]
fn real_runtime_for_windows_7() {
    let Some(sources) = sources(&[RUNTIME_7]) else { return };
    let windows = || Windows::new("9").has_id(&of("Microsoft-Windows-Client-Features-Package", "amd64", "", "6.1.7601.17514"));
    let expected = |limited: &str, general: &str| {
        format!(
            "Package_1_for_KB2999226@6.1.1.7: Not Present > Installed from 0 hidden, of Package_for_KB2999226_SP1@6.1.1.7
               2999226-1_neutral_LDR: Not Present > {limited}
               2999226-2_neutral_GDR: Not Present > {general}
             Package_for_KB2999226_SP1@6.1.1.7: Not Present > Installed from 0 hidden, of Package_for_KB2999226@6.1.1.7
               2999226-5_neutral_PACKAGE: Not Present > Installed
             Package_for_KB2999226@6.1.1.7: Not Present > Installed from 0, of itself
               2999226-7_neutral_PACKAGE: Not Present > Installed"
        )
    };
    same(&planned(&windows().store(), &sources, &install(&[0])), &expected("Staged", "Installed"));
    // Each `updateComponent` names four components of one deployment; any of them decides.
    let four = [("Microsoft-Windows-UCRT", "amd64"), ("Microsoft-Windows-UniversalCRT-APIfwd-Win7", "amd64")];
    let four = four.into_iter().chain([("Microsoft-Windows-UCRT", "x86"), ("Microsoft-Windows-UniversalCRT-APIfwd-Win7", "x86")]);
    let limited = |parts: usize| {
        let parts = four.clone().take(parts).map(|(name, architecture)| part(name, architecture, None, "6.1.7601.23000"));
        planned(&parts.fold(windows(), |windows, part| windows.winner(&part)).store(), &sources, &install(&[0]))
    };
    same(&limited(4), &expected("Installed", "Staged"));
    // Half of a C runtime, which no package leaves: the missing half is new, the other lifted, and the higher version wins.
    same(&limited(2), &expected("Installed", "Installed"));
}

/// Every `updateComponent` with several components is of KB2999226: all in one version, all of the update's own deployment. So on no
/// image that packages alone have made can it matter which of them is asked about.
#[test]
fn real_components_that_are_named_together_come_together() {
    let Some(sources) = sources(&ALL) else { return };
    let mut several = 0;
    for source in &sources {
        for update in source.packages().flat_map(|(_, package)| &package.manifest.updates) {
            for elevation in update.applicable.iter().flat_map(|applicable| &applicable.components) {
                let [first, others @ ..] = &elevation.identities[..] else { panic!("{update:?}") };
                assert!(others.iter().all(|other| other.version == first.version), "{update:?}");
                if others.is_empty() {
                    continue;
                }
                several += 1;
                let [wimwright_format::manifest::package::Payload::Component(deployment)] = &update.payload[..] else {
                    panic!("{update:?}")
                };
                let mut closure = vec![deployment.keyform()];
                let mut seen = 0;
                while let Some(keyform) = closure.get(seen).cloned() {
                    seen += 1;
                    let component = source.component(&keyform).unwrap().component;
                    closure.extend(component.install_dependencies().map(Identity::keyform));
                }
                assert!(elevation.identities.iter().all(|identity| closure.contains(&identity.keyform())), "{update:?}");
            }
        }
    }
    assert_eq!(several, 22);
}

#[test]
fn real_runtime_for_windows_8_1_needs_its_update() {
    let Some(sources) = sources(&[RUNTIME_8_1]) else { return };
    let windows = || Windows::new("9").has_id(&of("Microsoft-Windows-Client-Features-Package", "amd64", "", "6.3.9600.16384"));
    let error = refused(&windows().store(), &sources, &install(&[0])).to_string();
    assert!(error.contains(&format!("its parent {} is not there", of("Package_for_KB2919355", "amd64", "", "6.3.1.14"))), "{error}");
    for version in ["6.3.1.14", "6.3.1.15", "6.3.2.0"] {
        let windows = windows().has_id(&of("Package_for_KB2919355", "amd64", "", version));
        let made = planned(&windows.store(), &sources, &install(&[0]));
        assert_eq!(made.lines().filter(|line| line.contains("> Installed from 0")).count(), 4, "{made}");
    }
    let older = windows().has_id(&of("Package_for_KB2919355", "amd64", "", "6.3.1.13"));
    assert!(refused(&older.store(), &sources, &install(&[0])).to_string().contains("is there as 6.3.1.13, not 6.3.1.14 or newer"));
}

#[test]
fn real_runtime_for_vista() {
    let Some(sources) = sources(&[RUNTIME_VISTA]) else { return };
    // Its service pack and its foundation are named by packages within the package.
    let windows = Windows::new("0").has_id(&of("package_for_KB948465", "x86", "", "6.0.1.18005"));
    let error = refused(&windows.store(), &sources, &install(&[0])).to_string();
    assert!(error.contains("Package_for_KB2999226_client"), "{error}");
}

#[test]
fn real_boot_feature_for_windows_8_1_takes_the_languages_of_the_image() {
    let Some(sources) = sources(&[BOOT]) else { return };
    let version = "6.3.9600.16384";
    let language = |windows: Windows, language: &str| {
        windows.has_id(&of("Microsoft-Windows-Client-LanguagePack-Package", "x86", language, version)).has_id(&of(
            "Microsoft-Windows-Client-Features-Package-AutoMerged-shell",
            "x86",
            language,
            version,
        ))
    };
    let windows =
        || {
            language(Windows::new("0"), "en-US")
                .has_id(&of("Microsoft-Windows-Common-Foundation-Package", "x86", "", version))
                .winner(&part("Microsoft-Windows-SkyDrive-ExeHost.Resources", "x86", Some("en-US"), version))
        };
    let expected = |state: &str| {
        let within = "hidden, of Package_for_KB2937592_RTM@6.3.1.0";
        let deeper = "hidden, of Package_for_KB2937592_RTM_GM@6.3.1.0";
        format!(
            "Package_1_for_KB2937592@6.3.1.0: Not Present > {state} from 0 {deeper}
               2937592-1_neutral_GDR: Not Present > {state}
             Package_29_for_KB2937592@6.3.1.0: Not Present > {state} from 0 {deeper}
               2937592-33_neutral_GDR: Not Present > {state}
               2937592-34_neutral_GDR: Not Present > {state}
             Package_for_KB2937592_RTM_GM@6.3.1.0: Not Present > {state} from 0 {within}
               2937592-73_neutral_PACKAGE: Not Present > {state}
               2937592-101_neutral_PACKAGE: Not Present > {state}
             Package_48_for_KB2937592@6.3.1.0: Not Present > Installed from 0 {within}
               2937592-71_neutral_GDR: Not Present > Installed
             Package_49_for_KB2937592@6.3.1.0: Not Present > Installed from 0 {within}
               2937592-72_neutral_GDR: Not Present > Installed
             Package_for_KB2937592_RTM@6.3.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2937592@6.3.1.0
               2937592-120_neutral_PACKAGE: Not Present > {state}
               2937592-121_neutral_PACKAGE: Not Present > Installed
               2937592-122_neutral_PACKAGE: Not Present > Installed
             Package_for_KB2937592@6.3.1.0: Not Present > Installed from 0, of itself
               2937592-123_neutral_PACKAGE: Not Present > Installed"
        )
    };
    // Most of it is for Windows 8.1 with its update; without it, that waits.
    same(&planned(&windows().store(), &sources, &install(&[0])), &expected("Staged"));
    let updated = || windows().has_id(&of("Package_for_KB2919355", "x86", "", "6.3.1.14"));
    same(&planned(&updated().store(), &sources, &install(&[0])), &expected("Installed"));
    let german = plan(&language(updated(), "de-DE").store(), &sources, &install(&[0])).unwrap();
    assert!(text(&german).contains("Package_27_for_KB2937592@6.3.1.0: Not Present > Installed"));
    assert_eq!(german.changes.len(), 8);
}

#[test]
fn real_update_for_the_recovery_environment() {
    let Some(sources) = sources(&[RECOVERY]) else { return };
    let version = "6.1.7601.17514";
    let recovery = Windows::new("9").has_id(&of("WinPE-SRT-Package", "amd64", "", version)).winner(&part(
        "Microsoft-Windows-WinRE-Tools",
        "amd64",
        None,
        version,
    ));
    same(
        &planned(&recovery.store(), &sources, &install(&[0])),
        "Package_1_for_KB2883457@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2883457_RTM@6.1.1.0
           2883457-1_neutral_LDR: Not Present > Staged
           2883457-2_neutral_GDR: Not Present > Installed
         Package_for_KB2883457_RTM@6.1.1.0: Not Present > Installed from 0 hidden, of Package_for_KB2883457@6.1.1.0
           2883457-3_neutral_PACKAGE: Not Present > Installed
         Package_for_KB2883457@6.1.1.0: Not Present > Installed from 0, of itself
           2883457-4_neutral_PACKAGE: Not Present > Installed",
    );
}
