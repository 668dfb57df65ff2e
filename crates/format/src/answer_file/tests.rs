use super::components::KNOWN_COMPONENTS;
use super::*;
use proptest::prelude::*;

fn component(name: &str) -> String {
    format!(
        r#"<component name="{name}" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS"><A/></component>"#
    )
}

fn file(content: &str) -> String {
    format!("<unattend xmlns=\"{NAMESPACE}\">\n{content}\n</unattend>")
}

fn findings(content: &str, architecture: Option<&str>) -> Vec<String> {
    AnswerFile::parse(file(content).as_bytes()).unwrap().check(architecture).iter().map(ToString::to_string).collect()
}

#[test]
fn passes_components_and_packages_are_listed() {
    let text = file(&format!(
        r#"<servicing><package action="install"><assemblyIdentity name="Package_for_KB1" version="1.0.0.0"/><source location="C:\p.cab"/></package></servicing>
<settings pass="specialize">{}</settings>
<cpi:offlineImage xmlns:cpi="urn:schemas-microsoft-com:cpi" cpi:source="wim:c:/install.wim"/>"#,
        component("Microsoft-Windows-Shell-Setup")
    ));
    let parsed = AnswerFile::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.packages[0].source.as_deref(), Some("C:\\p.cab"));
    assert_eq!(parsed.packages[0].identity[1], ("version".to_owned(), "1.0.0.0".to_owned()));
    let (settings, shell) = parsed.components().next().unwrap();
    assert_eq!(
        (settings.pass.as_str(), shell.name.as_str(), shell.settings.as_slice()),
        ("specialize", "Microsoft-Windows-Shell-Setup", &["A".to_owned()][..])
    );
    assert_eq!(shell.position.to_string(), "3:29");
    assert!(parsed.strays.is_empty() && parsed.check(Some("amd64")).is_empty());
    // The same in UTF-16.
    let utf16: Vec<u8> = std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(AnswerFile::parse(&utf16).unwrap(), parsed);
}

#[test]
fn every_kind_of_problem_is_found() {
    let shell = component("Microsoft-Windows-Shell-Setup");
    let one = |content: &str, architecture, expected: &str| {
        assert_eq!(findings(content, architecture), if expected.is_empty() { vec![] } else { vec![expected.to_owned()] });
    };
    let settings = |pass: &str, content: &str| format!("<settings pass=\"{pass}\">\n{content}</settings>");
    one(&settings("OobeSystem", &shell), None, "2:1: error: `OobeSystem` is no configuration pass: did you mean oobeSystem?");
    one(
        &settings("oobe", ""),
        None,
        "2:1: error: `oobe` is no configuration pass: the passes are windowsPE, offlineServicing, generalize, specialize, auditSystem, auditUser, oobeSystem",
    );
    one(
        &settings("specialize", &component("Microsoft-Windows-ShellSetup")),
        None,
        "3:1: error: there is no component Microsoft-Windows-ShellSetup: did you mean Microsoft-Windows-Shell-Setup?",
    );
    one(
        &settings("specialize", &component("Contoso-Agent")),
        None,
        "3:1: unknown: Contoso-Agent is not in Microsoft's reference for Windows 10 and 11: check that the image has it",
    );
    one(
        &settings("oobeSystem", &component("Microsoft-Windows-Setup")),
        None,
        "3:1: error: Microsoft-Windows-Setup has no settings for the pass oobeSystem: move it to windowsPE",
    );
    one(&settings("oobeSystem", &shell), Some("AMD64"), "");
    one(
        &settings("oobeSystem", &shell),
        Some("arm64"),
        "3:1: error: Microsoft-Windows-Shell-Setup is for amd64, the image is arm64, so it is ignored: write arm64",
    );
    let both = format!("{shell}\n{}", shell.replace("amd64", "arm64"));
    one(&settings("oobeSystem", &both), Some("arm64"), "");
    one(
        &settings("oobeSystem", &shell.replace("amd64", "x64")),
        Some("amd64"),
        "3:1: error: Microsoft-Windows-Shell-Setup has the processorArchitecture `x64`, which does not exist: write amd64",
    );
    one(
        &settings("oobeSystem", &format!("{shell}\n{shell}")),
        None,
        "4:1: error: Microsoft-Windows-Shell-Setup appears twice in the pass oobeSystem: merge the two",
    );
    one(
        &settings("oobeSystem", &shell.replace(" publicKeyToken=\"31bf3856ad364e35\"", "")),
        None,
        "3:1: error: Microsoft-Windows-Shell-Setup has no publicKeyToken: Windows finds no such component. Usual is publicKeyToken=\"31bf3856ad364e35\"",
    );
    one(
        &settings("oobeSystem", &shell.replace("31bf3856ad364e35", "31bf3856ad364e36")),
        None,
        "3:1: error: Microsoft-Windows-Shell-Setup has the publicKeyToken `31bf3856ad364e36`; Microsoft's components have 31bf3856ad364e35",
    );
    one(
        &settings("oobeSystem", &shell.replace(" language=\"neutral\"", "")),
        None,
        "3:1: unknown: Microsoft-Windows-Shell-Setup has no language, which Windows SIM always writes: usual is language=\"neutral\"",
    );
    one(&shell, None, "2:1: error: `component` directly in `unattend` is ignored: put it into a `settings` element");
    one(
        "<settings pass=\"specialize\" wasProcessed=\"true\"/>",
        None,
        "2:1: error: the pass specialize is marked wasProcessed, so Setup skips it: remove the attribute",
    );
    one(
        "<settings pass=\"specialize\"/>\n<settings pass=\"specialize\"/>",
        None,
        "3:1: unknown: the pass specialize appears twice: merge the `settings` elements",
    );
}

#[test]
fn other_documents_are_refused() {
    assert_eq!(AnswerFile::parse(b"<unattend/>"), Err(AnswerFileError::Root { found: "unattend".to_owned() }));
    assert!(matches!(AnswerFile::parse(b"<unattend"), Err(AnswerFileError::Xml { .. })));
    let many = format!("<settings pass='specialize'>{}</settings>", "<component/>".repeat(MAX_ELEMENTS));
    assert_eq!(AnswerFile::parse(file(&many).as_bytes()), Err(AnswerFileError::TooLarge));
}

#[test]
fn the_table_is_sorted_and_its_passes_are_in_order() {
    let names: Vec<_> = KNOWN_COMPONENTS.iter().map(|known| known.name.to_lowercase()).collect();
    assert!(names.is_sorted());
    assert!(KNOWN_COMPONENTS.iter().all(|known| !known.passes.is_empty() && known.passes.is_sorted()));
}

/// Every answer file of the test data, and the real mistakes that people made in them.
#[test]
fn real_answer_files_and_their_mistakes() {
    let Some(folder) = wimwright_testkit::test_data("text/unattend") else { return };
    let mut found = Vec::new();
    let mut count = 0;
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let parsed = AnswerFile::parse(&std::fs::read(&path).unwrap());
        if name == "UFCase-comp_unattend-manifest.xml" {
            // A component manifest that lies among them.
            assert!(matches!(parsed, Err(AnswerFileError::Root { .. })));
            continue;
        }
        count += 1;
        found.extend(parsed.unwrap().check(None).iter().map(|problem| format!("{name}:{problem}")));
    }
    assert_eq!(count, 13);
    assert_eq!(found, REAL_MISTAKES);
}

const REAL_MISTAKES: &[&str] = &[
    "tiny11.xml:10:5: error: `component` directly in `unattend` is ignored: put it into a `settings` element",
    "woa-arm64.xml:4:5: error: there is no component Microsoft-Windows-Pnp-Sysprep: did you mean Microsoft-Windows-PnpSysprep?",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_files_give_a_value_or_an_error(index in 0_usize..400, byte: u8, cut: bool) {
        let mut bytes = file(&format!("<settings pass=\"specialize\">{}</settings>", component("Microsoft-Windows-Shell-Setup"))).into_bytes();
        let index = index.min(bytes.len() - 1);
        if cut {
            bytes.truncate(index);
        } else {
            bytes[index] = byte;
        }
        if let Ok(parsed) = AnswerFile::parse(&bytes) {
            let _ = parsed.check(Some("amd64"));
        }
    }
}

fn to_install(name: &str) -> PackageToInstall {
    let identity = format!("{name}~31bf3856ad364e35~amd64~~10.0.1.2").parse().unwrap();
    PackageToInstall { identity, path: format!(r"packages\{name}.cab") }
}

#[test]
fn packages_get_an_answer_file_of_their_own() {
    let bytes = add_packages(None, &[to_install("Package_for_A"), to_install("B&B")], "amd64").unwrap();
    let file = AnswerFile::parse(&bytes).unwrap();
    assert_eq!(file.check(Some("amd64")), []);
    let shown: Vec<_> =
        file.packages.iter().map(|package| (package.action.as_str(), package.identity[0].1.as_str(), package.source.as_deref())).collect();
    let expected = [
        ("install", "Package_for_A", Some(r"%configsetroot%\packages\Package_for_A.cab")),
        ("install", "B&B", Some(r"%configsetroot%\packages\B&B.cab")),
    ];
    assert_eq!(shown, expected);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.find("<servicing>") < text.find("<settings"), "the schema has `servicing` first");
}

#[test]
fn packages_are_added_to_a_given_answer_file() {
    let settings = r#"<settings pass="oobeSystem"><component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS"><TimeZone>UTC</TimeZone></component></settings>"#;
    let given = |inside: &str| {
        format!("<?xml version=\"1.0\" encoding=\"utf-16\"?>\n<!-- ours -->\n<unattend xmlns=\"{NAMESPACE}\">\n{inside}\n</unattend>\n")
    };
    let wide = |text: String| {
        ['\u{feff}'].into_iter().chain(text.chars()).collect::<String>().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    let added = add_packages(Some(&wide(given(settings))), &[to_install("A")], "amd64").unwrap();
    let file = AnswerFile::parse(&added).unwrap();
    assert_eq!(file.check(Some("amd64")), []);
    assert_eq!(file.settings.iter().map(|settings| settings.pass.as_str()).collect::<Vec<_>>(), ["windowsPE", "oobeSystem"]);
    assert_eq!((file.packages.len(), file.settings[1].components[0].settings.len()), (1, 1));
    // With a prefix of its own.
    let prefixed = given(settings)
        .replace("utf-16", "utf-8")
        .replace("xmlns=", "xmlns:u=")
        .replace("unattend xmlns", "u:unattend xmlns")
        .replace("/unattend>", "/u:unattend>")
        .replace("<settings", "<u:settings")
        .replace("/settings", "/u:settings");
    let file = AnswerFile::parse(&add_packages(Some(prefixed.as_bytes()), &[to_install("A")], "amd64").unwrap()).unwrap();
    assert_eq!((file.packages.len(), file.settings.len()), (1, 2));
    // Setup's own settings.
    let setup = |inside: &str| {
        settings.replace("oobeSystem", "windowsPE").replace("Shell-Setup", "Setup").replace("<TimeZone>UTC</TimeZone>", inside)
    };
    let with = |inside: &str| add_packages(Some(given(inside).replace("utf-16", "utf-8").as_bytes()), &[to_install("A")], "amd64");
    let file = AnswerFile::parse(&with(&setup("<UseConfigurationSet>true</UseConfigurationSet>")).unwrap()).unwrap();
    assert_eq!((file.packages.len(), file.settings.len()), (1, 1));
    assert_eq!(with(&setup("<UseConfigurationSet>false</UseConfigurationSet>")), Err(AddPackagesError::ConfigurationSet));
    assert_eq!(with("<servicing/>"), Err(AddPackagesError::Servicing));
    assert!(matches!(add_packages(Some(b"<x/>"), &[], "amd64"), Err(AddPackagesError::File(_))));
    assert!(add_packages(Some(format!("<unattend xmlns=\"{NAMESPACE}\"/>").as_bytes()), &[to_install("A")], "amd64").is_ok());
}
