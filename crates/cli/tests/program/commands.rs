//! Every command as a session: what was typed, what came out, and the exit code.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::workshop::Workshop;

/// Runs commands one after the other and writes down the session: `$ command`, standard output, standard error with `! ` before
/// every line, and the exit code where it is not 0. What differs from run to run is left out.
pub fn session(workshop: &Workshop, commands: &[&[&str]]) -> String {
    let mut session = String::new();
    for arguments in commands {
        let ran = workshop.run(arguments);
        assert!(
            matches!(ran.code, Some(0 | 1)),
            "{arguments:?}: {:?}: only our own faults have another exit code: {}",
            ran.code,
            ran.stderr
        );
        assert_eq!(ran.code == Some(1), ran.stderr.contains("error"), "{arguments:?}: {}", ran.stderr);
        let _ = writeln!(session, "{}", format!("$ wimwright {}", arguments.join(" ")).trim_end());
        for line in ran.stdout.lines() {
            let _ = writeln!(session, "{}", steady(workshop, line));
        }
        for line in ran.stderr.lines() {
            let _ = writeln!(session, "{}", steady(workshop, &format!("! {line}")).trim_end());
        }
        if let Some(code @ 1..) = ran.code {
            let _ = writeln!(session, "[exit code {code}]");
        }
        session.push('\n');
    }
    session
}

/// A line without what depends on the machine, the time of day, or the compressor: folder, durations, sizes, hashes.
fn steady(workshop: &Workshop, line: &str) -> String {
    let line = line.replace(&*workshop.path("").to_string_lossy(), "FOLDER/");
    let words = line.split(' ').map(|word| {
        let bare = word.trim_matches(|character: char| "(),\"".contains(character));
        let is_hash = [40, 64].contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { word.replace(bare, "HASH") } else { word.to_owned() }
    });
    let mut words: Vec<String> = words.collect();
    let bare = |word: &str| word.trim_matches(|character: char| "(),".contains(character)).to_owned();
    for number in 1..words.len() {
        let (value, unit) = (bare(&words[number - 1]), bare(&words[number]));
        let kind = match unit.as_str() {
            "ms" | "s" => "SECONDS",
            "B" | "kB" | "MB" => "BYTES",
            _ => continue,
        };
        if value.parse::<f64>().is_ok_and(|value| value > 0.0) {
            words[number - 1] = words[number - 1].replace(&value, "N");
            words[number] = words[number].replace(&unit, kind);
        }
    }
    words.join(" ")
}

#[test]
fn command_line() {
    let workshop = Workshop::empty();
    assert_snapshot!(session(
        &workshop,
        &[
            &[],
            &["--version"],
            &["frob"],
            &["frob", "--format", "json"],
            &["list", "--nope"],
            &["list", "--format", "xml"],
            &["build"],
            &["build", "recipe.yaml", "--threads", "0"],
            &["cache"],
            &["--help"],
        ]
    ));
}

#[test]
fn looking_into_media() {
    let workshop = Workshop::new();
    workshop.write("hello.txt", "hello");
    workshop.write("broken.iso", &workshop.read("practice.iso")[..400_000]);
    workshop.write("install.wim", workshop.command(&["cat", "practice.iso:/sources/install.wim"]).output().unwrap().stdout);
    assert_snapshot!(session(
        &workshop,
        &[
            &["inspect", "practice.iso"],
            &["inspect", "practice.iso:boot.wim"],
            &["inspect", "practice.iso:1/Windows"],
            &["inspect", "nowhere.iso"],
            &["inspect", "nowhere.iso", "--format", "json"],
            &["inspect", "hello.txt"],
            &["inspect", "broken.iso"],
            &["ls", "practice.iso"],
            &["ls", "practice.iso:/sources/inf"],
            &["ls", "practice.iso:/SETUP.EXE", "--long"],
            &["ls", "practice.iso:boot.wim"],
            &["ls", "install.wim"],
            &["ls", "practice.iso:2/"],
            &["ls", "practice.iso:1/users/public", "--long", "--recursive"],
            &["ls", "practice.iso:1/Windows/System32/Recovery/winre.wim:1"],
            &["ls", "practice.iso:1/Windows/System32/Recovery/winre.wim:2"],
            &["ls", "practice.iso:1/Windows/nope"],
            &["ls", "practice.iso:1/../.."],
            &["ls", "practice.iso:4"],
            &["ls", "practice.iso:0"],
            &["ls", "practice.iso:99999999999999999999"],
            &["ls", "practice.iso:install.esd"],
            &["ls", "practice.iso:1:boot.wim"],
            &["ls", "practice.iso:/nope"],
            &["ls", "practice.iso:4", "--format", "json"],
            &["cat", "practice.iso:/sources/idwbinfo.txt"],
            &["cat", "practice.iso:1/Windows/WIN.INI"],
            &["cat", "practice.iso:1/Windows"],
            &["cat", "practice.iso:1/Windows/nope"],
            &["cat", "practice.iso:/sources"],
            &["cat", "practice.iso:1"],
            &["cat", "practice.iso"],
        ]
    ));
}

#[test]
fn looking_into_the_registry() {
    let workshop = Workshop::new();
    let current_version = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let recovery = "practice.iso:1/Windows/System32/Recovery/winre.wim:1";
    assert_snapshot!(session(
        &workshop,
        &[
            &["registry", "get", "practice.iso:1", current_version, "editionid"],
            &["registry", "get", "practice.iso:1", current_version, "UBR", "--format", "json"],
            &["registry", "get", "practice.iso:1", r"HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server"],
            &["registry", "get", "practice.iso:1", r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run"],
            &["registry", "get", recovery, r"HKLM\SYSTEM\Select"],
            &["registry", "export", "practice.iso:1", r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run"],
            &["registry", "export", "practice.iso:1", r"HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server", "--format", "json"],
            &["registry", "get", "practice.iso:1", current_version, "Nope"],
            &["registry", "get", "practice.iso:1", r"HKLM\SOFTWARE\Nope"],
            &["registry", "get", "practice.iso:1", r"HKLM\Nope"],
            &["registry", "get", "practice.iso:1", "Nope"],
            &["registry", "get", recovery, r"HKLM\DRIVERS"],
            &["registry", "get", "practice.iso", r"HKLM\SOFTWARE"],
            &["registry", "get", "practice.iso:/setup.exe", r"HKLM\SOFTWARE"],
            &["registry", "export", "nowhere.wim", r"HKLM\SOFTWARE"],
        ]
    ));
}

#[test]
fn component_based_servicing() {
    let workshop = Workshop::new();
    let rollup = "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.1742.1.10";
    assert_snapshot!(session(
        &workshop,
        &[
            &["packages", "practice.iso:1"],
            &["packages", "practice.iso", rollup],
            &["packages", "practice.iso:1", rollup, "--format", "json"],
            &["packages", "practice.iso:1", "Nope"],
            &["packages", "practice.iso:/setup.exe"],
            &["features", "practice.iso:1"],
            &["features", "practice.iso:2", "netfx3"],
            &["features", "practice.iso:2", "NetFx3", "--format", "json"],
            &["features", "practice.iso:1", "Nope"],
            &["capabilities", "practice.iso"],
            &["capabilities", "practice.iso:1", "Language.Basic~~~en-US~0.0.1.0"],
            &["capabilities", "practice.iso:1", "--format", "json"],
            &["health", "practice.iso:1", "--quick"],
            &["health", "practice.iso:2", "--quick", "--format", "json"],
            &["health", "practice.iso", "--allow-unsigned"],
            &["health", "practice.iso:boot.wim", "--allow-unsigned"],
            &["health", "practice.iso:boot.wim:1"],
            &["health", "practice.iso:1", "--dictionary", "nowhere"],
            &["health", "nowhere.wim"],
        ]
    ));
}

#[test]
fn comparing() {
    let workshop = Workshop::new();
    assert_snapshot!(session(
        &workshop,
        &[
            &["diff", "practice.iso", "practice.iso"],
            &["diff", "practice.iso:1", "practice.iso:2"],
            &["diff", "practice.iso:1/Windows/servicing/Editions", "practice.iso:3/Windows/servicing/Editions"],
            &["diff", "practice.iso:1", "practice.iso:1", "--format", "json"],
            &["diff", "practice.iso:1", "practice.iso"],
            &["diff", "practice.iso:1/nope", "practice.iso:1"],
            &["diff", "practice.iso:/setup.exe", "practice.iso"],
            &["diff", "practice.iso", "nowhere"],
        ]
    ));
}

#[test]
fn planning_and_building() {
    let workshop = Workshop::new();
    assert_snapshot!(session(
        &workshop,
        &[
            &["plan", "recipe.yaml"],
            &["lock", "recipe.yaml", "--check"],
            &["lock", "recipe.yaml"],
            &["lock", "recipe.yaml", "--check"],
            &["build", "recipe.yaml"],
            &["plan", "recipe.yaml"],
            &["build", "recipe.yaml", "--quiet"],
            &["registry", "get", "serviced.iso:1", r"HKLM\SOFTWARE\Contoso"],
            &["cat", "serviced.iso:2/Windows/Setup/Scripts/serviced.txt"],
        ]
    ));
    // Another medium is not the locked one, until it is locked; a recipe without one takes any, until one is locked.
    let other = crate::workshop::captured_medium(false);
    workshop.link(other, "other.iso");
    let open = "recipe: 1\nimages:\n  - select: all\n    metadata: { flags: Other }\noutput: { wim: ./open.wim }\n";
    workshop.write("open/open.yaml", open);
    assert_snapshot!(
        "given_media",
        session(
            &workshop,
            &[
                &["build", "recipe.yaml", "--media", "other.iso"],
                &["lock", "recipe.yaml", "--media", "other.iso", "--check"],
                &["lock", "open/open.yaml"],
                &["lock", "open/open.yaml", "--media", "other.iso", "--check"],
                &["lock", "open/open.yaml", "--media", "other.iso"],
                &["build", "open/open.yaml", "--quiet", "--media", "other.iso"],
                &["build", "open/open.yaml", "--media", "practice.iso"],
                &["build", "open/open.yaml"],
                &["lock", "recipe.yaml", "--media", "other.iso"],
                &["lock", "recipe.yaml", "--check"],
                &["lock", "recipe.yaml", "--media", "other.iso", "--check"],
                &["lock", "recipe.yaml"],
            ]
        )
    );
    workshop.write("inputs/Tools/readme.txt", "something else");
    assert_snapshot!(
        "changed_inputs",
        session(
            &workshop,
            &[&["lock", "recipe.yaml", "--check"], &["build", "recipe.yaml"], &["build", "recipe.yaml", "--format", "json"]]
        )
    );
}

#[test]
fn planning_packages() {
    let workshop = Workshop::new();
    let recipe = |name: &str, entry: &str| {
        let entry: String = entry.lines().map(|line| format!("    {line}\n")).collect();
        let text = format!(
            "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: all\n{entry}drop: {{ index: [2, 3] }}\noutput: {{ iso: ./out.iso }}\n"
        );
        workshop.write(name, text);
    };
    let unsigned = "servicing: { allow-unsigned: true }";
    let tools = "source: ./inputs/features }";
    recipe("kb.yaml", &format!("updates: ./inputs/updates\n{unsigned}"));
    recipe(
        "tools.yaml",
        &format!("capabilities: {{ add: Practice.Tools, {tools}\nfeatures: {{ disable: WorkFolders-Client }}\n{unsigned}"),
    );
    recipe("setup.yaml", "updates: ./inputs/updates\nservicing: { allow-unsigned: true, engine: setup }");
    recipe("unsigned.yaml", "updates: ./inputs/updates");
    recipe("folder.yaml", "updates: ./inputs/Tools");
    recipe("key.yaml", "capabilities: { ad: x }\nfeatures: { enable: ['*'] }\nservicing: { engine: dism }");
    recipe("capability.yaml", &format!("capabilities: {{ add: Practice.Tool, {tools}\n{unsigned}"));
    recipe("feature.yaml", "features: { enable: Telnet }");
    recipe("package.yaml", "packages: { remove: Microsoft-Windows-Foundation-Package }");
    recipe("satellite.yaml", &format!("updates: './inputs/features/Practice-Tools-Package~31bf3856ad364e35~amd64~en-US~.cab'\n{unsigned}"));
    let plain = ["unsigned", "folder", "key", "capability", "feature", "package", "satellite"].map(|name| format!("{name}.yaml"));
    let plans = plain.iter().map(|name| ["plan", name.as_str()]).collect::<Vec<_>>();
    let first: [&[&str]; 6] = [
        &["plan", "kb.yaml"],
        &["plan", "kb.yaml", "--why"],
        &["plan", "tools.yaml", "--why"],
        &["plan", "tools.yaml", "--why", "--format", "json"],
        &["plan", "setup.yaml"],
        &["build", "setup.yaml", "--quiet"],
    ];
    let commands: Vec<&[&str]> = first.into_iter().chain(plans.iter().map(|plan| &plan[..])).collect();
    assert_snapshot!(session(&workshop, &commands));
}

#[test]
fn a_tampered_package_fails_and_leaves_everything_as_it_was() {
    let workshop = Workshop::new();
    workshop.write(
        "kb.yaml",
        "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: { index: 1 }\n    updates: ./inputs/updates\n    \
         capabilities: { add: Practice.Tools, source: ./inputs/features }\n    servicing: { allow-unsigned: true }\n\
         drop: { index: [2, 3] }\noutput: { wim: ./out.wim }\n",
    );
    workshop.run(&["build", "kb.yaml"]).succeeded();
    let is_kept = |path: &String| path.starts_with("data/") || path == "out.wim";
    let kept = || -> Vec<(String, Option<Vec<u8>>)> {
        let paths = workshop.listing("").into_iter().filter(is_kept);
        paths.map(|path| (path.clone(), std::fs::read(workshop.path(&path)).ok())).collect()
    };
    let before = kept();
    assert!(before.iter().any(|(path, _)| path == "out.wim") && before.len() > 3);
    for package in ["updates/Windows11.0-KB5004061-x64.msu", "features/Practice-Tools-Package~31bf3856ad364e35~amd64~~.cab"] {
        let path = format!("inputs/{package}");
        let whole = workshop.read(&path);
        for place in [0, whole.len() / 3, whole.len() / 2, whole.len() - 9] {
            let mut tampered = whole.clone();
            tampered[place] ^= 1;
            workshop.write(&path, tampered);
            for command in ["plan", "build"] {
                let ran = workshop.run(&[command, "kb.yaml"]);
                // A plan reads manifests; the files of components are for the build.
                if command == "build" || ran.code != Some(0) {
                    assert_eq!(ran.code, Some(1), "{path} at {place}: {}", ran.stderr);
                    assert!(ran.stderr.contains(package.rsplit('/').next().unwrap()), "{path} at {place}: {}", ran.stderr);
                }
                assert!(kept() == before, "{path} at {place}: `{command}` left something");
            }
        }
        workshop.write(&path, whole);
    }
    assert!(workshop.run(&["build", "kb.yaml"]).succeeded().stdout.contains("nothing to do"));
}

#[test]
fn recipes_with_mistakes() {
    let workshop = Workshop::new();
    let recipe = |name: &str, images: &str| {
        workshop.write(name, format!("recipe: 1\nmedia: ./practice.iso\n{images}output: {{ wim: ./out.wim }}\n"))
    };
    workshop.write("setup.exe", b"MZ\x90\0\x03\0\0\0 this is no app");
    workshop.write("setup.msi", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 nor is this");
    workshop.write("text.msix", "neither is this");
    workshop.write("bad.reg", "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n\"a\"=hex:zz\r\n");
    recipe("syntax.yaml", "images: [\n");
    recipe("key.yaml", "images:\n  - select: all\n    registri: []\n");
    recipe("exe.yaml", "images:\n  - select: all\n    apps:\n      add: [./setup.exe]\n");
    recipe("msi.yaml", "images:\n  - select: all\n    apps:\n      add: [./setup.msi]\n");
    recipe("msix.yaml", "images:\n  - select: all\n    apps:\n      add: [./text.msix]\n");
    recipe("reg.yaml", "images:\n  - select: all\n    registry: [./bad.reg]\n");
    recipe("hive.yaml", "images:\n  - select: all\n    registry:\n      - { delete: 'HKLM\\NOPE\\Key' }\n");
    recipe("missing-input.yaml", "images:\n  - select: all\n    files:\n      - { add: ./nowhere, to: /x }\n");
    recipe("missing-path.yaml", "images:\n  - select: all\n    files:\n      - delete: /Windows/nope\n");
    recipe("missing-app.yaml", "images:\n  - select: all\n    apps: { remove: [Contoso.Nope] }\n");
    recipe("select.yaml", "images:\n  - select: { edition: Home }\n    files:\n      - { content: x, to: /x }\n");
    recipe("drop-all.yaml", "drop: all\n");
    recipe("variable.yaml", "images:\n  - select: all\n    files:\n      - { content: '${nope}', to: /x }\n");
    workshop.write("bare.yaml", "recipe: 1\nimages:\n  - select: all\n    files:\n      - { content: x, to: /x }\n");
    workshop.write("occupied/file", "the user's own");
    let files = [
        "syntax",
        "key",
        "exe",
        "msi",
        "msix",
        "reg",
        "hive",
        "missing-input",
        "missing-path",
        "missing-app",
        "select",
        "drop-all",
        "variable",
    ];
    let files: Vec<_> = files.iter().map(|name| format!("{name}.yaml")).collect();
    let builds: Vec<_> = files.iter().map(|file| ["build", file.as_str()]).collect();
    let more: [&[&str]; 9] = [
        &["plan", "exe.yaml"],
        &["build", "nowhere.yaml"],
        &["build", "bare.yaml"],
        &["build", "bare.yaml", "--media", "practice.iso"],
        &["build", "bare.yaml", "--media", "unknown", "--out", "out.iso"],
        &["build", "bare.yaml", "--media", "practice.iso", "--out", "occupied"],
        &["build", "recipe.yaml", "--set", "company"],
        &["build", "recipe.yaml", "--set", "nobody=x", "--out", "set.iso"],
        &["build", "exe.yaml", "--format", "json"],
    ];
    let commands: Vec<&[&str]> = builds.iter().map(|command| &command[..]).chain(more).collect();
    assert_snapshot!(session(&workshop, &commands));
    assert!(!workshop.path("out.wim").exists());
    assert_eq!(workshop.listing("occupied"), ["occupied/file"]);
}

#[test]
fn library_and_cache() {
    let workshop = Workshop::new();
    workshop.write(
        "facts.yaml",
        "architecture: x64\nbuild: 19045\nubr: 5011\nedition: Professional\ninstallation_type: Client\nlanguage: en-US\n",
    );
    workshop.write("newer.yaml", "architecture: arm64\nbuild: 27000\nedition: Core\nlanguage: de-DE\n");
    workshop.write("wrong.yaml", "memory: 640 KB\n");
    workshop.write("tiny.yaml", "recipe: 1\nmedia: { library: practice }\nimages:\n  - select: all\n    files:\n      - { content: x, to: /x }\noutput: { iso: ./tiny.iso }\n");
    assert_snapshot!(session(
        &workshop,
        &[
            &["list"],
            &["show", "practice"],
            &["build", "tiny.yaml"],
            &["import", "practice.iso"],
            &["import", "practice.iso"],
            &["list"],
            &["show", "practice"],
            &["build", "tiny.yaml"],
            &["import", "tiny.iso", "--in-place", "--name", "tiny medium"],
            &["import", "tiny.iso", "--name", "practice"],
            &["import", "tiny.iso", "--name", "../escape"],
            &["import", "nowhere.iso"],
            &["import", "facts.yaml"],
            &["list"],
            &["show", "../practice"],
            &["eligibility", "practice.iso:1", "--installed", "facts.yaml"],
            &["eligibility", "practice.iso:1", "--installed", "newer.yaml"],
            &["eligibility", "practice.iso:1", "--installed", "wrong.yaml"],
            &["eligibility", "practice.iso:1", "--installed", "nowhere.yaml"],
            &["eligibility", "practice.iso", "--installed", "facts.yaml"],
            &["cache", "size"],
            &["cache", "prune"],
            &["cache", "prune", "--max-size", "0"],
            &["cache", "prune", "--max-size", "much"],
            &["cache", "clear"],
            &["cache", "size", "--format", "json"],
            &["list", "--library", "facts.yaml"],
        ]
    ));
}
